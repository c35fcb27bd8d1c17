//! chosen_id: must not compile.

use cloakroom_core::SessionId;

#[allow(dead_code)]
fn generate() -> SessionId {
    let tag = cloakroom_core::id::SlotTag::new(1).unwrap();
    SessionId::generate(tag, &cloakroom_core::OsEntropy).unwrap()
}

fn main() {
    let _ = SessionId("chosen");
}
