//! Shared queues, and properties of the exchange.

use wasmtime::Linker;

use super::{C, EMPTY, INTERNAL, INVALID_MEMORY, NOT_FOUND, OK, fault, ok_or};
use crate::abi::{
    guest::{hand_over, read, write},
    state::State,
};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
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
