//! From settings to a store: the only place that knows which stores there are.

use std::sync::Arc;

use cloakroom_core::{Error, Observer, Store};
use cloakroom_embedded::{EmbeddedConfig, EmbeddedStore};
pub(crate) use cloakroom_embedded::{Eviction, MIN_MEMORY};

use crate::settings::Settings;

/// The store that the settings ask for. In memory: it begins empty.
pub(crate) fn store(
    settings: &Settings,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Store>, Error> {
    let config = EmbeddedConfig::default()
        .max_memory(settings.max_memory)
        .eviction(settings.eviction)
        .observer(observer);
    Ok(Arc::new(EmbeddedStore::new(config)?))
}
