//! What must not compile: an id that is chosen, adopted, copied, printed, compared or serialized.

use cloakroom_core::{PresentedId, SessionId};

/// Does not compile if the type has the trait: then the call below could mean two things.
macro_rules! has_not {
    ($type:ty: $($trait:path),+) => {
        $(const _: fn() = || {
            trait Ambiguous<A> {
                fn call() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Has;
            impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
            let _ = <$type as Ambiguous<_>>::call;
        };)+
    };
}

has_not!(SessionId: Clone, std::fmt::Display, PartialEq, std::hash::Hash, AsRef<str>, Default);
has_not!(SessionId: serde::Serialize, serde::de::DeserializeOwned, std::str::FromStr);
has_not!(SessionId: From<PresentedId>, From<String>, From<[u8; 32]>, From<[u8; 45]>);
has_not!(PresentedId: Clone, std::fmt::Display, PartialEq, serde::Serialize);

#[test]
fn an_id_has_no_public_constructor() {
    trybuild::TestCases::new().compile_fail("tests/compile/*.rs");
}
