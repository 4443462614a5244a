//! What a filter does to its stream: continue it, answer it, call out for it.

use wasmtime::Linker;

use super::{BAD_ARGUMENT, C, INTERNAL, INVALID_MEMORY, OK, ok_or};
use crate::abi::{
    guest::{read, write},
    state::{Action, Callout, Dispatch, Headers, Reply, State},
};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_continue_stream", |mut c: C<'_>, direction: u32| {
        let state = c.data_mut();
        let context = state.acting();
        let Some((exchange, at)) = state.places.get(&context).copied() else {
            return BAD_ARGUMENT;
        };
        if state.in_body_of == Some(exchange) && context != state.current {
            state
                .misuse
                .push("another context was continued inside a body callback: Envoy crashes there".to_owned());
        }
        // Envoy drops the maps at once.
        if let Some(filter) = state
            .exchanges
            .get_mut(exchange)
            .and_then(|exchange| exchange.filters.get_mut(at))
        {
            let slot = if direction == 0 {
                &mut filter.request
            } else {
                &mut filter.response
            };
            slot.map = false;
        }
        state.actions.push_back(Action::Continue {
            context,
            response: direction == 1,
        });
        OK
    })?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |mut c: C<'_>,
         status: u32,
         details: u32,
         details_size: u32,
         body: u32,
         body_size: u32,
         headers: u32,
         headers_size: u32,
         _grpc: i32| {
            let (Some(details), Some(body), Some(headers)) = (
                read(&mut c, details, details_size),
                read(&mut c, body, body_size),
                read(&mut c, headers, headers_size),
            ) else {
                return INVALID_MEMORY;
            };
            let Some(headers) = decode_pairs(&headers) else {
                return BAD_ARGUMENT;
            };
            let state = c.data_mut();
            let context = state.acting();
            if !state.places.contains_key(&context) {
                return INTERNAL;
            }
            let details = String::from_utf8_lossy(&details).into_owned();
            state.actions.push_back(Action::Reply {
                context,
                reply: Reply {
                    status,
                    headers,
                    body,
                    details,
                },
            });
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut c: C<'_>,
         cluster: u32,
         cluster_size: u32,
         headers: u32,
         headers_size: u32,
         body: u32,
         body_size: u32,
         _trailers: u32,
         _trailers_size: u32,
         timeout_ms: u32,
         token: u32| {
            let (Some(cluster), Some(headers), Some(body)) = (
                read(&mut c, cluster, cluster_size),
                read(&mut c, headers, headers_size),
                read(&mut c, body, body_size),
            ) else {
                return INVALID_MEMORY;
            };
            let Some(headers) = decode_pairs(&headers) else {
                return BAD_ARGUMENT;
            };
            let named = |name: &[u8]| headers.iter().any(|(key, _)| key == name);
            if ![b":method".as_slice(), b":path", b":authority"]
                .into_iter()
                .all(named)
            {
                return BAD_ARGUMENT;
            }
            let state = c.data_mut();
            if state.dispatch == Dispatch::Refuse {
                return INTERNAL;
            }
            let acting = state.acting();
            let root = state.filter(acting).map_or(acting, |(_, filter)| filter.root);
            state.next_token += 4;
            let number = state.next_token;
            state.callouts.push(Callout {
                token: number,
                root,
                cluster: String::from_utf8_lossy(&cluster).into_owned(),
                headers,
                body,
                timeout_ms,
            });
            ok_or(write(&mut c, token, &number.to_le_bytes()))
        },
    )?;
    Ok(())
}

fn decode_pairs(block: &[u8]) -> Option<Headers> {
    let number = |at: usize| Some(u32::from_le_bytes(block.get(at..at + 4)?.try_into().ok()?) as usize);
    let count = number(0)?;
    let mut at = 4 + count * 8;
    let mut pairs = Vec::new();
    for pair in 0..count {
        let (name, value) = (number(4 + pair * 8)?, number(8 + pair * 8)?);
        pairs.push((
            block.get(at..at + name)?.to_vec(),
            block.get(at + name + 1..at + name + 1 + value)?.to_vec(),
        ));
        at += name + value + 2;
    }
    Some(pairs)
}
