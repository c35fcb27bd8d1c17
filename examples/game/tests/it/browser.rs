//! Headless Chromium by way of chromedriver, each started for one test and stopped by it.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A chromedriver of our own; the browsers it opened end with it.
pub(crate) struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    pub(crate) async fn start() -> Self {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is needed: apt-get install -y chromium chromium-driver");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("chromedriver ended early");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    /// A browser with a profile of its own.
    pub(crate) async fn browser(&self) -> Browser {
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1180,900",
        ];
        let wanted = json!({ "goog:chromeOptions": { "args": arguments } });
        let Value::Object(wanted) = wanted else {
            unreachable!()
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(wanted).connect(&self.url);
        Browser(
            client
                .await
                .expect("chromium is needed: apt-get install -y chromium"),
        )
    }
}

/// Its browsers end first: a driver that is merely killed leaves them running.
impl Drop for Driver {
    fn drop(&mut self) {
        let address = self.url.trim_start_matches("http://");
        let asked = std::net::TcpStream::connect(address).and_then(|mut driver| {
            driver.set_read_timeout(Some(WAIT))?;
            write!(driver, "GET /shutdown HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
            driver.read(&mut [0; 64])
        });
        // A driver that does not hear it has ended already, or ends now.
        drop((asked, self.process.start_kill()));
    }
}

/// A browser, with the few things that the scenarios do.
pub(crate) struct Browser(pub Client);

impl Browser {
    pub(crate) async fn open(&self, url: &str) {
        self.0.goto(url).await.unwrap();
    }

    pub(crate) async fn click(&self, css: &str) {
        self.0
            .wait()
            .at_most(WAIT)
            .for_element(Locator::Css(css))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
    }

    pub(crate) async fn type_into(&self, css: &str, text: &str) {
        self.0
            .find(Locator::Css(css))
            .await
            .unwrap()
            .send_keys(text)
            .await
            .unwrap();
    }

    /// Waits until an element has this text.
    pub(crate) async fn until(&self, css: &str, text: &str) {
        let begun = tokio::time::Instant::now();
        loop {
            let seen = self.text(css).await;
            if seen == text {
                return;
            }
            assert!(begun.elapsed() < WAIT, "{css} is {seen}, not {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The text of an element now; empty if there is none.
    pub(crate) async fn text(&self, css: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.textContent ?? '';";
        let seen = self.0.execute(script, vec![css.into()]).await.unwrap();
        seen.as_str().unwrap().to_owned()
    }

    /// Keeps a picture of the page for the docs, if asked to.
    pub(crate) async fn keep_picture(&self, name: &str) {
        if let Ok(folder) = std::env::var("CLOAKROOM_SCREENSHOTS") {
            let png = self.0.screenshot().await.unwrap();
            std::fs::write(std::path::Path::new(&folder).join(name), png).unwrap();
        }
    }
}

const WAIT: Duration = Duration::from_secs(20);
