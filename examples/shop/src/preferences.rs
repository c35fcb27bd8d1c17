//! What the visitor prefers: a field for each preference, so that changing one never loses another.

use askama::Template;
use axum::response::{Html, Redirect};
use axum::routing::get;
use axum::{Form, Router};
use cloakroom::Session;
use serde::{Deserialize, Serialize};

use crate::Fault;
use crate::page::{Frame, render};

const CURRENCY: &str = "prefer.currency";
const THEME: &str = "prefer.theme";

/// A visitor's preferences.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Preferences {
    pub currency: Currency,
    pub theme: Theme,
}

/// What prices are shown in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Currency {
    #[default]
    Euro,
    Dollar,
    Pound,
}

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    #[default]
    Day,
    Night,
}

impl Preferences {
    pub(crate) async fn of(session: &Session) -> Result<Self, Fault> {
        Ok(Self {
            currency: session.get(CURRENCY).await?.unwrap_or_default(),
            theme: session.get(THEME).await?.unwrap_or_default(),
        })
    }

    /// The class of the page's body.
    pub(crate) const fn class(&self) -> &'static str {
        match self.theme {
            Theme::Day => "day",
            Theme::Night => "night",
        }
    }
}

impl Currency {
    /// What 100 euros are in it, at the shop's own simple rate.
    pub(crate) const fn per_hundred_euro(self) -> i64 {
        match self {
            Self::Euro => 100,
            Self::Dollar => 108,
            Self::Pound => 86,
        }
    }

    pub(crate) fn is(self, other: &str) -> bool {
        matches!(
            (self, other),
            (Self::Euro, "euro") | (Self::Dollar, "dollar") | (Self::Pound, "pound")
        )
    }
}

pub(crate) fn routes() -> Router {
    Router::new().route("/preferences", get(page).post(save))
}

#[derive(Template)]
#[template(path = "preferences.html")]
struct Page {
    frame: Frame,
    currencies: [(&'static str, &'static str); 3],
}

async fn page(session: Session) -> Result<Html<String>, Fault> {
    let frame = Frame::of(&session, "Preferences").await?;
    let currencies = [
        ("euro", "Euro"),
        ("dollar", "US dollar"),
        ("pound", "Pound sterling"),
    ];
    render(&Page { frame, currencies })
}

async fn save(session: Session, Form(wanted): Form<Preferences>) -> Result<Redirect, Fault> {
    session.set(CURRENCY, &wanted.currency)?;
    session.set(THEME, &wanted.theme)?;
    session.flash("notice", "Your preferences are saved.")?;
    Ok(Redirect::to("/preferences"))
}
