//! Somebody with a browser: keeps the cookie, follows nothing by itself.

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};

/// A visitor of the town.
pub(crate) struct Visitor {
    client: Client,
    town: String,
    /// What the browser keeps: `__Host-id=...`.
    pub(crate) cookie: Option<String>,
    /// Headers that only somebody who wants in where they may not would send.
    pub(crate) forged: Vec<(&'static str, &'static str)>,
}

/// What a visitor gets.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
}

impl Visitor {
    pub(crate) fn of(town: &str) -> Self {
        let client = Client::builder().redirect(Policy::none()).build();
        Self {
            client: client.unwrap(),
            town: town.to_owned(),
            cookie: None,
            forged: Vec::new(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.ask(Method::GET, path, &[]).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        self.ask(Method::POST, path, form).await
    }

    pub(crate) async fn sign_in(&mut self, name: &str) {
        let form = [("name", name), ("password", "coat-check"), ("next", "/")];
        let page = self.post("/login", &form).await;
        assert_eq!(page.status, 303, "{page:?}");
    }

    async fn ask(&mut self, method: Method, path: &str, form: &[(&str, &str)]) -> Page {
        let mut request = self
            .client
            .request(method.clone(), format!("{}{path}", self.town));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in &self.forged {
            request = request.header(*name, *value);
        }
        if method == Method::POST {
            request = request.form(form);
        }
        let response = request.send().await.unwrap();
        if let Some(set) = header(&response, "set-cookie") {
            assert!(set.contains("; Secure; HttpOnly; SameSite=Lax"), "{set}");
            let (cookie, attributes) = set.split_once(';').unwrap();
            let kept = !attributes.contains("Max-Age=0");
            self.cookie = kept.then(|| cookie.to_owned());
        }
        Page {
            status: response.status().as_u16(),
            location: header(&response, "location"),
            retry_after: header(&response, "retry-after"),
            text: response.text().await.unwrap(),
        }
    }
}

impl Page {
    /// Whether it is the way to the sign-in, and back to `path` after it.
    #[track_caller]
    pub(crate) fn asks_to_sign_in(&self, path: &str) {
        let location = format!("/login?next={path}");
        let (status, to) = (self.status, self.location.as_deref());
        assert_eq!((status, to), (303, Some(location.as_str())), "{self:?}");
    }

    /// Whether it is a page on which `words` stand.
    #[track_caller]
    pub(crate) fn shows(&self, words: &str) {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(self.text.contains(words), "{words:?} is not in {self:?}");
    }

    /// Whether it is an outage that says so: nobody gets in, and nobody is sent to the sign-in.
    #[track_caller]
    pub(crate) fn is_an_outage(&self) {
        assert_eq!(self.status, 503, "{self:?}");
        assert_eq!(self.retry_after.as_deref(), Some("1"), "{self:?}");
    }
}

fn header(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    Some(value.to_str().unwrap().to_owned())
}
