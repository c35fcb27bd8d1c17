//! `cloakroom serve`: takes the data directory if it needs one, opens the store, listens, and ends
//! well.

mod auth;
mod banner;
pub(crate) mod data_dir;
mod ending;
pub(crate) mod http;
mod journal_watch;
mod listen;
mod patience;
pub(crate) mod resp;
mod shutdown;
#[cfg(test)]
mod sick;
mod tls;
mod touches;

use std::error::Error;
use std::sync::Arc;

use cloakroom_core::{Observer, Store};
use cloakroom_embedded::EmbeddedStore;
use tokio::signal::unix::Signal;

use crate::logs::{self, Events, often};
use crate::observed::Observed;
use crate::open::{self, Opened};
use crate::process;
use crate::settings::{LowSettings, Secret, Settings};
use auth::ApiKeys;
use data_dir::DataDir;
use http::{App, Metrics};
use listen::Listener;
use resp::Front;
pub(crate) use resp::{commands_page, events_asked_for};
use shutdown::Shutdown;
use tls::Tls;
use touches::{Recording, Touches};

/// Serves until a signal ends it. `low` is what the settings are made of.
pub(crate) fn run(settings: &Settings, low: &LowSettings) -> Result<(), Box<dyn Error>> {
    let _written = logs::start(settings);
    for name in &settings.unknown_variables {
        tracing::warn!(name, "this environment variable names no setting");
    }
    for (name, why) in &settings.unused {
        tracing::warn!(name, "this setting should not be here: {why}");
    }
    let (files, needed) = (process::raise_files(), settings.files());
    if files < needed {
        tracing::warn!(
            files,
            needed,
            "this process may have fewer files open than its connections can need: raise its limit (ulimit -n, \
             LimitNOFILE), or lower max-connections and resp-max-connections"
        );
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(settings, low))
}

async fn serve(settings: &Settings, low: &LowSettings) -> Result<(), Box<dyn Error>> {
    // Held until the end: no other server takes the directory meanwhile.
    let data = match settings.uses_data() {
        true => Some(DataDir::take(&settings.data)?),
        false => None,
    };
    let hangups = shutdown::hangups()?;
    let keys = api_keys(settings, data.as_ref())?;
    let tls = settings.tls.as_ref().map(Tls::load).transpose()?;
    let tls = tls.map(Arc::new);
    let metrics = Arc::new(Metrics::new());
    let observer: Arc<dyn Observer> = Arc::new(Events::new(Arc::clone(&metrics)));
    let theirs: Arc<dyn Observer> = Arc::new(Events::of_frameworks(Arc::clone(&metrics)));
    let Opened {
        store,
        embedded,
        foreign,
    } = open::store(settings, Arc::clone(&observer), theirs).await?;
    let store: Arc<dyn Store> = Arc::new(Observed::new(
        store,
        settings.store.to_string(),
        settings.store_deadline,
        Arc::clone(&metrics),
        Arc::clone(&observer),
    ));
    let listener = Listener::bind(settings, tls.clone(), Arc::clone(&metrics)).await?;
    let shutdown = Shutdown::new();
    let opened = Opened {
        store: Arc::clone(&store),
        embedded,
        foreign,
    };
    let front = front(settings, &opened, tls.as_ref(), &shutdown, &metrics).await?;
    shutdown.on_signal(settings.drain_delay)?;
    often::start_summing_up();
    let resp = front.as_ref().map(|front| (front.server(), low.clone()));
    read_again_on(hangups, tls, keys.clone(), resp);

    let mut out = std::io::stdout();
    banner::show(
        &mut out,
        settings,
        listener.address()?,
        &keys,
        front.as_ref(),
    )?;
    let (touches, recording) = Touches::start(store, Arc::clone(&observer));
    let embedded = opened.embedded.clone().inspect(journal_watch::start);
    let app = App::new(
        settings,
        opened,
        observer,
        touches,
        metrics,
        keys,
        shutdown.clone(),
    );
    let resp = async {
        match front {
            Some(front) => front.serve(&shutdown).await,
            None => 0,
        }
    };
    let (http, resp) = tokio::join!(listener.serve(http::router(app), &shutdown), resp);
    end(http + resp, recording, embedded).await;
    Ok(())
}

/// What is still to be written when nobody is served any more.
async fn end(cut: usize, recording: Recording, embedded: Option<EmbeddedStore>) {
    if cut > 0 {
        tracing::warn!(cut, "connections were cut at the end of the drain timeout");
    }
    recording.finish().await;
    if let Some(embedded) = embedded {
        embedded.close();
    }
    often::sum_up();
    tracing::info!("stopped");
}

fn api_keys(settings: &Settings, data: Option<&DataDir>) -> Result<ApiKeys, Box<dyn Error>> {
    match (&settings.api_key_file, data) {
        (Some(file), _) => Ok(ApiKeys::shared(file)?),
        (None, Some(data)) => Ok(ApiKeys::open(data)?),
        (None, None) => Err("a key comes from api-key-file or from the data".into()),
    }
}

/// The listeners of the Redis protocol, which is spoken to the engine in this process.
async fn front(
    settings: &Settings,
    opened: &Opened,
    tls: Option<&Arc<Tls>>,
    shutdown: &Shutdown,
    metrics: &Metrics,
) -> Result<Option<Front>, Box<dyn Error>> {
    let Some(embedded) = &opened.embedded else {
        return Ok(None);
    };
    let engine = embedded.engine();
    let front = Front::bind(settings, engine, tls, shutdown.clone(), metrics).await?;
    if let (Some(front), Some(foreign)) = (&front, &opened.foreign) {
        front.keep(foreign.keeper());
    }
    Ok(front)
}

/// Reads on each SIGHUP what may be changed without a restart. One that came during the start waits here.
fn read_again_on(
    mut hangups: Signal,
    tls: Option<Arc<Tls>>,
    keys: ApiKeys,
    resp: Option<(Arc<resp::Server>, LowSettings)>,
) {
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match keys.read_again() {
                Ok(keys) => tracing::info!(keys, "SIGHUP: API keys read again"),
                Err(error) => tracing::error!(%error, "SIGHUP: the API keys in use stay"),
            }
            match resp
                .as_ref()
                .map(|(server, low)| read_users_again(server, low))
            {
                None => {}
                Some(Ok(users)) => tracing::info!(users, "SIGHUP: RESP users read again"),
                Some(Err(error)) => tracing::error!(%error, "SIGHUP: the RESP users in use stay"),
            }
            match tls.as_deref().map(Tls::reload) {
                None => {}
                Some(Ok(())) => tracing::info!("SIGHUP: certificate and its key read again"),
                Some(Err(error)) => {
                    tracing::error!(%error, "SIGHUP: the certificate in use stays");
                }
            }
        }
    });
}

/// The users of the Redis protocol; of the settings, which may be in a file, the default user's password.
fn read_users_again(server: &resp::Server, low: &LowSettings) -> Result<usize, Box<dyn Error>> {
    let settings = Settings::from_low(&low.read_again()?)?;
    let password = settings.resp.password.as_ref().map(Secret::reveal);
    Ok(server.read_users_again(password)?)
}
