//! What all pages share: the head with the cart's count and the visitor's name, a message left by
//! the page before, the style sheet.

use askama::Template;
use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use cloakroom::Session;

use crate::preferences::{Currency, Preferences};
use crate::{Fault, cart};

/// The frame around a page.
pub(crate) struct Frame {
    pub title: &'static str,
    pub user: Option<String>,
    pub items: i64,
    pub notice: Option<String>,
    pub preferences: Preferences,
}

impl Frame {
    /// Reads what the frame shows of the session: one trip to the store, whatever is asked later.
    pub(crate) async fn of(session: &Session, title: &'static str) -> Result<Self, Fault> {
        let user = session
            .subject()
            .await?
            .map(|subject| subject.as_str().to_owned());
        let preferences = Preferences::of(session).await?;
        let items = cart::lines(session)
            .await?
            .iter()
            .map(|line| line.quantity)
            .sum();
        let notice = session.take_flash("notice").await?;
        Ok(Self {
            title,
            user,
            items,
            notice,
            preferences,
        })
    }

    /// A price in the visitor's currency.
    pub(crate) fn price(&self, cents: impl std::borrow::Borrow<i64>) -> String {
        let amount = cents.borrow() * self.preferences.currency.per_hundred_euro() / 100;
        let (whole, part) = (amount / 100, amount % 100);
        match self.preferences.currency {
            Currency::Euro => format!("{whole}.{part:02} EUR"),
            Currency::Dollar => format!("${whole}.{part:02}"),
            Currency::Pound => format!("GBP {whole}.{part:02}"),
        }
    }
}

pub(crate) fn render(page: &impl Template) -> Result<Html<String>, Fault> {
    Ok(Html(page.render()?))
}

pub(crate) fn routes() -> Router {
    Router::new().route("/style.css", get(style))
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("../static/style.css"),
    )
}
