//! The server is killed, and nobody is signed out.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Scene, Verdict};
use crate::fault::{Fault, must};

/// How long a client may take to notice that the server is back.
const BACK: Duration = Duration::from_secs(15);

pub(super) async fn crash(scene: &Scene<'_>) -> Result<Verdict, Fault> {
    let mut visitor = scene.signed_in("anna").await?;
    visitor.add("hat").await?;
    scene.server.crash().await?;
    let begun = Instant::now();
    loop {
        // Each try is a window with the old cookie: an application that takes it away in an outage has
        // taken it from that window alone.
        let mut window = visitor.clone();
        let me = window.me().await;
        if matches!(&me, Ok(Some(user)) if user == "anna") {
            let cart = window.cart().await?;
            must(cart == ["hat"], || {
                format!("after the crash the cart is {cart:?}")
            })?;
            return Ok(Verdict::Held);
        }
        if begun.elapsed() > BACK {
            let me = me.map_err(|fault| fault.at(format!("{BACK:?} after the crash")))?;
            must(me.is_none(), || format!("after the crash user is {me:?}"))?;
            return Ok(Verdict::Forgotten);
        }
        sleep(Duration::from_millis(50)).await;
    }
}
