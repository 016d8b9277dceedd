//! Stops at chosen host instructions of translated code: for tests of precise state on hosts whose processes cannot single-step themselves.

use crate::Engine;
use crate::store::Store;

impl Engine {
    /// Host PCs of all instructions of the translations at hand (hosts with instructions of 4 bytes).
    #[doc(hidden)]
    pub fn host_instructions(&self) -> Vec<usize> {
        self.store.as_ref().map(Store::instructions).unwrap_or_default()
    }

    /// Puts another instruction in the place of one of [`Engine::host_instructions`]; gives the old one.
    #[doc(hidden)]
    pub fn exchange_instruction(&self, pc: usize, new: u32) -> Option<u32> {
        self.store.as_ref()?.exchange(pc, new)
    }
}

impl Store {
    fn instructions(&self) -> Vec<usize> {
        let mut all = Vec::new();
        for meta in self.units() {
            let unit = meta.unit();
            let offsets = (0..meta.len).step_by(4);
            let known = offsets.filter(|at| self.emitter.locate(&unit, &meta.variant.request, *at).is_some());
            all.extend(known.map(|at| meta.host + at as usize));
        }
        all
    }

    fn exchange(&self, pc: usize, new: u32) -> Option<u32> {
        let region = self.current()?;
        let offset = pc.checked_sub(region.code.start()).filter(|at| *at < region.code.size())?;
        // SAFETY: inside the region, which is readable.
        let old = unsafe { *(pc as *const u32) };
        region.code.patch(offset, &new.to_le_bytes());
        Some(old)
    }
}
