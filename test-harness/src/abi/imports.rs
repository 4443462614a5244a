//! The functions that the module imports: `env` (proxy-wasm 0.2.1) and `wasi_snapshot_preview1`.

use wasmtime::{Caller, Linker};

use super::{
    guest::{hand_over, read, write},
    state::{Action, Callout, Dispatch, Headers, Reply, State},
};

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const INVALID_MEMORY: u32 = 6;
const EMPTY: u32 = 7;
const INTERNAL: u32 = 10;

type C<'a> = Caller<'a, State>;

fn fault(caller: &C<'_>, name: &str) -> Option<u32> {
    caller.data().faults.get(name).copied()
}

fn ok_or(found: Option<()>) -> u32 {
    if found.is_some() { OK } else { INVALID_MEMORY }
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

fn property(state: &State, path: &str) -> Option<Vec<u8>> {
    let (exchange, _) = state.filter(state.acting())?;
    match path.split('\0').collect::<Vec<_>>().as_slice() {
        ["request", "total_size"] => {
            let headers: usize = exchange.request.iter().map(|(n, v)| n.len() + v.len()).sum();
            Some(((headers + exchange.received) as u64).to_le_bytes().to_vec())
        }
        ["response", "code_details"] => Some(match &exchange.local {
            Some(reply) => reply.details.clone().into_bytes(),
            None => b"via_upstream".to_vec(),
        }),
        ["response", "backend_latency"] => exchange.response_complete.then(|| 1_u64.to_le_bytes().to_vec()),
        [name] => exchange.properties.get(*name).cloned(),
        _ => None,
    }
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_plain(linker)?;
    link_maps(linker)?;
    link_streams(linker)?;
    link_wasi(linker)
}

fn link_plain(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_log",
        |mut c: C<'_>, level: u32, at: u32, size: u32| {
            let Some(text) = read(&mut c, at, size) else {
                return INVALID_MEMORY;
            };
            let text = format!("{level} {}", String::from_utf8_lossy(&text));
            c.data_mut().logs.push(text);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_current_time_nanoseconds",
        |mut c: C<'_>, at: u32| {
            let now = c.data().now_ns;
            ok_or(write(&mut c, at, &now.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_tick_period_milliseconds",
        |mut c: C<'_>, period: u32| {
            let root = c.data().acting();
            c.data_mut().tick_ms.insert(root, period);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_effective_context",
        |mut c: C<'_>, context: u32| {
            let state = c.data_mut();
            if !state.places.contains_key(&context) && !state.roots.contains_key(&context) {
                return BAD_ARGUMENT;
            }
            state.effective = Some(context);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut c: C<'_>, _kind: u32, at: u32, size: u32, id: u32| {
            let Some(name) = read(&mut c, at, size) else {
                return INVALID_MEMORY;
            };
            let metrics = &mut c.data_mut().metrics;
            metrics.push((String::from_utf8_lossy(&name).into_owned(), 0));
            let number = u32::try_from(metrics.len() - 1).unwrap_or(u32::MAX);
            ok_or(write(&mut c, id, &number.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_record_metric",
        |mut c: C<'_>, id: u32, value: u64| match c.data_mut().metrics.get_mut(id as usize) {
            Some((_, known)) => {
                *known = i64::try_from(value).unwrap_or(i64::MAX);
                OK
            }
            None => BAD_ARGUMENT,
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_increment_metric",
        |mut c: C<'_>, id: u32, by: i64| match c.data_mut().metrics.get_mut(id as usize) {
            Some((_, value)) if by > 0 => {
                *value += by;
                OK
            }
            Some(_) => BAD_ARGUMENT,
            None => NOT_FOUND,
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_register_shared_queue",
        |mut c: C<'_>, at: u32, size: u32, id: u32| {
            let Some(name) = read(&mut c, at, size) else {
                return INVALID_MEMORY;
            };
            let root = c.data().acting();
            let queues = &mut c.data_mut().queues;
            queues.push((
                String::from_utf8_lossy(&name).into_owned(),
                root,
                Default::default(),
            ));
            let number = u32::try_from(queues.len()).unwrap_or(u32::MAX);
            ok_or(write(&mut c, id, &number.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_enqueue_shared_queue",
        |mut c: C<'_>, id: u32, at: u32, size: u32| {
            if let Some(status) = fault(&c, "proxy_enqueue_shared_queue") {
                return status;
            }
            let Some(item) = read(&mut c, at, size) else {
                return INVALID_MEMORY;
            };
            let state = c.data_mut();
            let Some(queue) = (id as usize)
                .checked_sub(1)
                .and_then(|at| state.queues.get_mut(at))
            else {
                return NOT_FOUND;
            };
            queue.2.push_back(item);
            state.ready.push_back(id);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_dequeue_shared_queue",
        |mut c: C<'_>, id: u32, at: u32, size: u32| {
            let Some(queue) = (id as usize)
                .checked_sub(1)
                .and_then(|at| c.data_mut().queues.get_mut(at))
            else {
                return NOT_FOUND;
            };
            match queue.2.pop_front() {
                Some(item) => ok_or(hand_over(&mut c, &item, at, size)),
                None => EMPTY,
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut c: C<'_>, path: u32, path_size: u32, at: u32, size: u32| {
            let Some(path) = read(&mut c, path, path_size) else {
                return INVALID_MEMORY;
            };
            match property(c.data(), &String::from_utf8_lossy(&path)) {
                Some(value) => ok_or(hand_over(&mut c, &value, at, size)),
                None => NOT_FOUND,
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut c: C<'_>, path: u32, path_size: u32, at: u32, size: u32| {
            let (Some(path), Some(value)) = (read(&mut c, path, path_size), read(&mut c, at, size)) else {
                return INVALID_MEMORY;
            };
            let state = c.data_mut();
            let place = state.places.get(&state.acting()).copied();
            match place.and_then(|(exchange, _)| state.exchanges.get_mut(exchange)) {
                Some(exchange) => {
                    exchange
                        .properties
                        .insert(String::from_utf8_lossy(&path).into_owned(), value);
                    OK
                }
                None => INTERNAL,
            }
        },
    )?;
    Ok(())
}

fn link_maps(linker: &mut Linker<State>) -> wasmtime::Result<()> {
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

fn link_streams(linker: &mut Linker<State>) -> wasmtime::Result<()> {
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

fn link_wasi(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    const WASI: &str = "wasi_snapshot_preview1";
    const ERRNO_BADF: u32 = 8;
    linker.func_wrap(WASI, "random_get", |mut c: C<'_>, at: u32, size: u32| {
        // Reproducible: a test that fails, fails again.
        let bytes: Vec<u8> = (0..size)
            .map(|_| {
                let state = c.data_mut();
                state.random = state
                    .random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state.random.to_be_bytes()[0]
            })
            .collect();
        ok_or(write(&mut c, at, &bytes))
    })?;
    linker.func_wrap(
        WASI,
        "environ_sizes_get",
        |mut c: C<'_>, count: u32, size: u32| {
            let total: usize = c
                .data()
                .env
                .iter()
                .map(|(name, value)| name.len() + value.len() + 2)
                .sum();
            let number = c.data().env.len();
            let (number, total) = (
                u32::try_from(number).unwrap_or(0),
                u32::try_from(total).unwrap_or(0),
            );
            ok_or(
                write(&mut c, count, &number.to_le_bytes())
                    .and_then(|()| write(&mut c, size, &total.to_le_bytes())),
            )
        },
    )?;
    linker.func_wrap(WASI, "environ_get", |mut c: C<'_>, table: u32, text: u32| {
        let mut at = text;
        for (index, (name, value)) in c.data().env.clone().into_iter().enumerate() {
            let entry = format!("{name}={value}\0");
            let slot = table + 4 * u32::try_from(index).unwrap_or(0);
            if write(&mut c, slot, &at.to_le_bytes())
                .and_then(|()| write(&mut c, at, entry.as_bytes()))
                .is_none()
            {
                return INVALID_MEMORY;
            }
            at += u32::try_from(entry.len()).unwrap_or(0);
        }
        OK
    })?;
    linker.func_wrap(
        WASI,
        "clock_time_get",
        |mut c: C<'_>, _clock: u32, _precision: u64, at: u32| {
            let now = c.data().now_ns;
            ok_or(write(&mut c, at, &now.to_le_bytes()))
        },
    )?;
    linker.func_wrap(
        WASI,
        "fd_write",
        |mut c: C<'_>, _fd: u32, vectors: u32, count: u32, written: u32| {
            let mut total = 0_u32;
            for vector in 0..count {
                let Some(entry) = read(&mut c, vectors + vector * 8, 8) else {
                    return INVALID_MEMORY;
                };
                let word =
                    |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
                let Some(text) = read(&mut c, word(0), word(4)) else {
                    return INVALID_MEMORY;
                };
                total += word(4);
                let text = String::from_utf8_lossy(&text).into_owned();
                c.data_mut().logs.push(text);
            }
            ok_or(write(&mut c, written, &total.to_le_bytes()))
        },
    )?;
    linker.func_wrap(WASI, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!("the module exited with {code}")))
    })?;
    linker.func_wrap(WASI, "sched_yield", || OK)?;
    linker.func_wrap(WASI, "fd_close", |_fd: u32| ERRNO_BADF)?;
    linker.func_wrap(WASI, "fd_fdstat_get", |_fd: u32, _at: u32| ERRNO_BADF)?;
    linker.func_wrap(WASI, "fd_prestat_get", |_fd: u32, _at: u32| ERRNO_BADF)?;
    linker.func_wrap(WASI, "fd_prestat_dir_name", |_fd: u32, _at: u32, _size: u32| {
        ERRNO_BADF
    })?;
    linker.func_wrap(WASI, "fd_seek", |_fd: u32, _to: i64, _whence: u32, _at: u32| {
        ERRNO_BADF
    })?;
    linker.func_wrap(WASI, "fd_read", |_fd: u32, _at: u32, _count: u32, _read: u32| {
        ERRNO_BADF
    })?;
    Ok(())
}
