//! What a person sees at the start: where it listens, what to open, what to paste.

use std::io::Write;
use std::net::SocketAddr;

use super::auth::ApiKeys;
use super::resp::Front;
use crate::open::{Choice, Durability};
use crate::settings::Settings;

/// Writes the banner.
pub(crate) fn show(
    out: &mut dyn Write,
    settings: &Settings,
    address: SocketAddr,
    key: &ApiKeys,
    resp: Option<&Front>,
) -> std::io::Result<()> {
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let url = format!("{scheme}://{address}");
    let (version, key) = (env!("CARGO_PKG_VERSION"), key.file().display());
    writeln!(out, "Cloakroom {version} keeps sessions at {url}")?;
    writeln!(out)?;
    writeln!(out, "  store    {}", settings.store)?;
    if let Choice::Embedded = settings.store {
        let when = match settings.durability {
            Durability::Always => "synced to the disk before they are acknowledged",
            Durability::Everysec => "synced to the disk within a second",
            Durability::No => "written to the disk when the system likes",
        };
        writeln!(out, "           writes are {when}, logouts at once")?;
    }
    if settings.uses_data() {
        writeln!(out, "  data     {}", settings.data.display())?;
    }
    writeln!(out, "  API key  {key}")?;
    let asks = if address.ip().is_loopback() {
        ""
    } else {
        " (with the key)"
    };
    writeln!(out, "  open     {url}/openapi.json  {url}/metrics{asks}")?;
    writeln!(
        out,
        "  paste    curl -H \"Authorization: Bearer $(cat {key})\" \\"
    )?;
    writeln!(
        out,
        "             --json '{{\"fields\":{{\"cart\":[\"tea\"]}}}}' {url}/v1/sessions"
    )?;
    if let Some(front) = resp {
        front.show(out)?;
    }
    writeln!(out)?;
    out.flush()
}
