//! Stops at chosen host instructions of translated code: for tests of precise state.

use crate::Engine;
use crate::store::Store;
use demotic_codegen::Place;

impl Engine {
    /// Where the translations at hand are: address and length of the host code of each.
    #[doc(hidden)]
    pub fn host_code(&self) -> Vec<(usize, usize)> {
        let units = self.store.as_ref().map(|store| store.units()).unwrap_or_default();
        units.iter().map(|meta| (meta.host, meta.len as usize)).collect()
    }

    /// What a host PC in [`Engine::host_code`] means, with its distance from the beginning of its unit's code; `None` where it is not one place of the
    /// guest's program.
    #[doc(hidden)]
    pub fn place(&self, pc: usize) -> Option<(u32, Place)> {
        let store = self.store.as_ref()?;
        let units = store.units();
        let meta = units.iter().find(|m| (m.host..m.host + m.len as usize).contains(&pc))?;
        let offset = (pc - meta.host) as u32;
        Some((offset, store.emitter.locate(&meta.unit(), &meta.variant.request, offset)?))
    }

    /// Puts other bytes in the place of those at a PC of [`Engine::host_code`]; gives the old ones.
    #[doc(hidden)]
    pub fn exchange_code<const N: usize>(&self, pc: usize, new: [u8; N]) -> Option<[u8; N]> {
        self.store.as_ref()?.exchange(pc, new)
    }
}

impl Store {
    fn exchange<const N: usize>(&self, pc: usize, new: [u8; N]) -> Option<[u8; N]> {
        let region = self.current()?;
        let offset = pc.checked_sub(region.code.start()).filter(|at| *at + N <= region.code.size())?;
        // SAFETY: inside the region, which is readable.
        let old = unsafe { (pc as *const [u8; N]).read_unaligned() };
        region.code.patch(offset, &new);
        Some(old)
    }
}
