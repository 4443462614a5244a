//! Calls into the module and its memory.

use anyhow::{Context as _, anyhow};
use wasmtime::{Caller, Engine, Extern, Instance, Linker, Module, Store, TypedFunc, WasmParams, WasmResults};

use super::{imports, state::State};

/// The module in its VM.
pub(super) struct Guest {
    pub(super) store: Store<State>,
    instance: Instance,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").finish_non_exhaustive()
    }
}

/// The compiled module, shared by the VMs of a test process: compiling takes longer than most tests.
pub(super) fn module() -> anyhow::Result<&'static (Engine, Module)> {
    static MODULE: std::sync::OnceLock<Result<(Engine, Module), String>> = std::sync::OnceLock::new();
    MODULE
        .get_or_init(|| {
            let load = || -> anyhow::Result<(Engine, Module)> {
                let bytes = std::fs::read(crate::programs::filter()?)?;
                let engine = Engine::default();
                let module = Module::new(&engine, bytes).map_err(|error| anyhow!("{error:#}"))?;
                Ok((engine, module))
            };
            load().map_err(|error| format!("{error:#}"))
        })
        .as_ref()
        .map_err(|error| anyhow!("{error}"))
}

impl Guest {
    pub(super) fn start(state: State) -> anyhow::Result<Self> {
        let (engine, module) = module()?;
        let mut linker = Linker::new(engine);
        imports::link(&mut linker).map_err(|error| anyhow!("{error:#}"))?;
        let mut store = Store::new(engine, state);
        let instance = linker
            .instantiate(&mut store, module)
            .map_err(|error| anyhow!("cannot link: {error:#}"))?;
        let mut guest = Guest { store, instance };
        guest.call::<(), ()>("_initialize", ())?;
        Ok(guest)
    }

    /// Calls an export; a trap is an error.
    pub(super) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
        arguments: P,
    ) -> anyhow::Result<R> {
        let function: TypedFunc<P, R> = self
            .instance
            .get_typed_func(&mut self.store, name)
            .map_err(|error| anyhow!("the module does not export {name} as it should: {error:#}"))?;
        function
            .call(&mut self.store, arguments)
            .map_err(|error| anyhow!("{error:#}"))
            .with_context(|| {
                format!(
                    "the module trapped in {name}; its log:\n{}",
                    self.store.data().logs.join("\n")
                )
            })
    }
}

/// Bytes of the module's memory.
pub(super) fn read(caller: &mut Caller<'_, State>, at: u32, size: u32) -> Option<Vec<u8>> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return None;
    };
    let end = at.checked_add(size)?;
    memory
        .data(&caller)
        .get(at as usize..end as usize)
        .map(<[u8]>::to_vec)
}

/// Writes to the module's memory.
pub(super) fn write(caller: &mut Caller<'_, State>, at: u32, bytes: &[u8]) -> Option<()> {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return None;
    };
    memory.write(caller, at as usize, bytes).ok()
}

/// Hands bytes over in a block of the module's own making.
pub(super) fn hand_over(caller: &mut Caller<'_, State>, bytes: &[u8], at: u32, size_at: u32) -> Option<()> {
    let size = u32::try_from(bytes.len()).ok()?;
    let handed = &mut caller.data_mut().handed_over;
    *handed = handed.saturating_add(bytes.len());
    let block = if size == 0 {
        0
    } else {
        let Some(Extern::Func(allocate)) = caller.get_export("proxy_on_memory_allocate") else {
            return None;
        };
        let block = allocate
            .typed::<u32, u32>(&caller)
            .ok()?
            .call(&mut *caller, size)
            .ok()?;
        write(caller, block, bytes)?;
        block
    };
    write(caller, at, &block.to_le_bytes())?;
    write(caller, size_at, &size.to_le_bytes())
}
