//! A visitor with a browser's cookies, as far as sessions need them: what is set is sent, what is taken away is
//! not. `Max-Age` is not obeyed, because it is the server that has to end a session.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::fault::{Fault, must};

/// Longer than any application may take; then something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody with cookies. A clone is another window that has the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    http: Client,
    base: String,
    cookies: BTreeMap<String, String>,
}

/// What an application answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Visitor {
    /// Somebody without cookies, at the application that listens there.
    pub(crate) fn new(port: u16) -> Result<Self, Fault> {
        let http = Client::builder().timeout(PATIENCE).no_proxy().build()?;
        Ok(Self {
            http,
            base: format!("http://127.0.0.1:{port}"),
            cookies: BTreeMap::new(),
        })
    }

    /// The same browser, another visitor.
    pub(crate) fn stranger(&self) -> Self {
        Self {
            cookies: BTreeMap::new(),
            ..self.clone()
        }
    }

    /// The cookie of that name.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// Puts a cookie of this visitor's own making among the others.
    pub(crate) fn bring(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// One request, whatever its answer.
    pub(crate) async fn send(&mut self, method: Method, path: &str) -> Result<Answer, Fault> {
        let url = format!("{}{path}", self.base);
        let jar: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = self.http.request(method, url);
        if !jar.is_empty() {
            request = request.header("Cookie", jar.join("; "));
        }
        let response = request.send().await?;
        for line in response.headers().get_all("Set-Cookie") {
            self.take(&String::from_utf8_lossy(line.as_bytes()));
        }
        Ok(Answer {
            status: response.status(),
            text: response.text().await?,
        })
    }

    /// A request that must be answered with 200, and one member of the answer.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        member: &str,
    ) -> Result<Value, Fault> {
        let answer = self.send(method.clone(), path).await?;
        must(answer.status == StatusCode::OK, || {
            format!("{method} {path}: {} {}", answer.status, answer.text)
        })?;
        answer.member(member)
    }

    /// Who the application thinks this is.
    pub(crate) async fn me(&mut self) -> Result<Option<String>, Fault> {
        let user = self.ask(Method::GET, "/me", "user").await?;
        Ok(user.as_str().map(str::to_owned))
    }

    /// Signs in.
    pub(crate) async fn login(&mut self, user: &str) -> Result<(), Fault> {
        let path = format!("/login?user={user}");
        let said = self.ask(Method::POST, &path, "user").await?;
        must(said == user, || format!("POST {path}: user is {said}"))
    }

    /// Puts something into the cart, and gives what is in it then.
    pub(crate) async fn add(&mut self, item: &str) -> Result<Vec<String>, Fault> {
        let path = format!("/cart?item={item}");
        Ok(items(&self.ask(Method::POST, &path, "cart").await?))
    }

    /// What is in the cart.
    pub(crate) async fn cart(&mut self) -> Result<Vec<String>, Fault> {
        Ok(items(&self.ask(Method::GET, "/cart", "cart").await?))
    }

    fn take(&mut self, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let pair = parts.next().and_then(|pair| pair.split_once('='));
        let Some((name, value)) = pair else { return };
        let is_gone = parts.any(|attribute| {
            let attribute = attribute.to_ascii_lowercase();
            let over = ["max-age=0", "max-age=-"];
            over.iter().any(|over| attribute.starts_with(over))
                || (attribute.starts_with("expires=") && attribute.contains("1970"))
        });
        if is_gone {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

impl Answer {
    /// One member of the answer's object.
    pub(crate) fn member(&self, name: &str) -> Result<Value, Fault> {
        let value: Value = serde_json::from_str(&self.text)
            .map_err(|error| Fault::new(format!("not JSON ({error}): {}", self.text)))?;
        value
            .get(name)
            .cloned()
            .ok_or_else(|| Fault::new(format!("no {name}: {value}")))
    }
}

fn items(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}
