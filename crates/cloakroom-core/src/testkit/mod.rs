//! The store contract as code, for everyone who writes a store.

mod clock;
mod reference;

pub use clock::ManualClock;
pub use reference::ReferenceStore;
