//! Headers and bodies.

use wasmtime::Linker;

use super::{BAD_ARGUMENT, C, INVALID_MEMORY, NOT_FOUND, OK, fault, ok_or};
use crate::abi::{
    guest::{hand_over, read},
    state::{Headers, State},
};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut c: C<'_>, map: u32, at: u32, size: u32| {
            if let Some(status) = fault(&c, "proxy_get_header_map_pairs") {
                return status;
            }
            // A map out of reach is an empty one, as in Envoy.
            let pairs = header_map(c.data_mut(), map).cloned().unwrap_or_default();
            ok_or(hand_over(&mut c, &encode_pairs(&pairs), at, size))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut c: C<'_>, map: u32, key: u32, key_size: u32, at: u32, size: u32| {
            let Some(key) = read(&mut c, key, key_size) else {
                return INVALID_MEMORY;
            };
            let Some(pairs) = header_map(c.data_mut(), map) else {
                return BAD_ARGUMENT;
            };
            match pairs
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.clone())
            {
                Some(value) => ok_or(hand_over(&mut c, &value, at, size)),
                None => NOT_FOUND,
            }
        },
    )?;
    for (name, replaces) in [
        ("proxy_replace_header_map_value", true),
        ("proxy_add_header_map_value", false),
    ] {
        linker.func_wrap(
            "env",
            name,
            move |mut c: C<'_>, map: u32, key: u32, key_size: u32, value: u32, value_size: u32| {
                if let Some(status) = fault(&c, name) {
                    return status;
                }
                let (Some(key), Some(value)) = (read(&mut c, key, key_size), read(&mut c, value, value_size))
                else {
                    return INVALID_MEMORY;
                };
                let Some(pairs) = header_map(c.data_mut(), map) else {
                    return BAD_ARGUMENT;
                };
                match pairs.iter_mut().find(|(name, _)| replaces && *name == key) {
                    // Only the first of several, as hosts do.
                    Some(pair) => pair.1 = value,
                    None => pairs.push((key, value)),
                }
                OK
            },
        )?;
    }
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut c: C<'_>, map: u32, key: u32, key_size: u32| {
            let Some(key) = read(&mut c, key, key_size) else {
                return INVALID_MEMORY;
            };
            let Some(pairs) = header_map(c.data_mut(), map) else {
                return BAD_ARGUMENT;
            };
            pairs.retain(|(name, _)| *name != key);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut c: C<'_>, kind: u32, start: u32, max: u32, at: u32, size: u32| {
            if let Some(status) = fault(&c, "proxy_get_buffer_bytes") {
                return status;
            }
            if start.checked_add(max).is_none() {
                return BAD_ARGUMENT;
            }
            let Some(bytes) = buffer(c.data_mut(), kind) else {
                return NOT_FOUND;
            };
            let from = (start as usize).min(bytes.len());
            let to = (start as usize).saturating_add(max as usize).min(bytes.len());
            let bytes = bytes[from..to].to_vec();
            ok_or(hand_over(&mut c, &bytes, at, size))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |mut c: C<'_>, kind: u32, start: u32, size: u32, data: u32, data_size: u32| {
            if let Some(status) = fault(&c, "proxy_set_buffer_bytes") {
                return status;
            }
            let Some(data) = read(&mut c, data, data_size) else {
                return INVALID_MEMORY;
            };
            let Some(bytes) = buffer(c.data_mut(), kind) else {
                return NOT_FOUND;
            };
            // The shapes that Envoy accepts: replace a prefix, or append.
            if start == 0 {
                bytes.splice(..(size as usize).min(bytes.len()), data);
                OK
            } else if start as usize >= bytes.len() {
                bytes.extend(data);
                OK
            } else {
                BAD_ARGUMENT
            }
        },
    )?;
    Ok(())
}

fn header_map(state: &mut State, map: u32) -> Option<&mut Headers> {
    let acting = state.acting();
    match map {
        0 | 2 => {
            let (exchange, at) = *state.places.get(&acting)?;
            let exchange = state.exchanges.get_mut(exchange)?;
            let filter = exchange.filters.get(at)?;
            match map {
                0 if filter.request.map => Some(&mut exchange.request),
                2 if filter.response.map => Some(&mut exchange.response),
                _ => None,
            }
        }
        6 => state.answer.as_mut().map(|answer| &mut answer.headers),
        _ => None,
    }
}

fn buffer(state: &mut State, kind: u32) -> Option<&mut Vec<u8>> {
    let acting = state.acting();
    match kind {
        0 | 1 => {
            let filter = state.filter_mut(acting)?;
            let slot = if kind == 0 {
                &mut filter.request
            } else {
                &mut filter.response
            };
            (slot.buffer_open || slot.buffering).then_some(&mut slot.buffer)
        }
        4 => state.answer.as_mut().map(|answer| &mut answer.body),
        7 => state.roots.get_mut(&acting),
        _ => None,
    }
}

fn encode_pairs(pairs: &Headers) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut block = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        block.extend(number(name.len()));
        block.extend(number(value.len()));
    }
    for (name, value) in pairs {
        block.extend_from_slice(name);
        block.push(0);
        block.extend_from_slice(value);
        block.push(0);
    }
    block
}
