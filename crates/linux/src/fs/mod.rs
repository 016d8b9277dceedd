//! Files as the guest sees them: how paths are read, and the parts of /proc that must show the guest instead of Demotic.

pub mod cpuinfo;
pub mod path;
pub mod proc;
pub mod root;
pub mod shown;
