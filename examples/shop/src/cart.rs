//! The cart: one field of the session per product, changed by atomic increments. Two tabs that add
//! at the same moment both count, without a lock and without reading first.

use askama::Template;
use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use axum::{Form, Router};
use cloakroom::Session;
use serde::Deserialize;

use crate::Fault;
use crate::catalogue::{self, Product};
use crate::page::{Frame, render};

const PREFIX: &str = "cart.";
const MOST_OF_ONE: i64 = 99;

/// So many of one product.
pub(crate) struct Line {
    pub product: &'static Product,
    pub quantity: i64,
}

impl Line {
    pub(crate) const fn cents(&self) -> i64 {
        self.product.cents * self.quantity
    }
}

/// What is in the cart, in the order of the catalogue.
pub(crate) async fn lines(session: &Session) -> Result<Vec<Line>, Fault> {
    let mut lines = Vec::new();
    for product in &catalogue::PRODUCTS {
        let quantity = session.get::<i64>(&field(product.sku)).await?.unwrap_or(0);
        if quantity > 0 {
            lines.push(Line {
                product,
                quantity: quantity.min(MOST_OF_ONE),
            });
        }
    }
    Ok(lines)
}

/// Adds `by` of a product; a cart never holds less than none.
pub(crate) async fn add(session: &Session, sku: &str, by: i64) -> Result<(), Fault> {
    let field = field(sku);
    if session.increment(&field, by).await? <= 0 {
        session
            .update(&field, |quantity: Option<i64>| quantity.unwrap_or(0).max(0))
            .await?;
    }
    Ok(())
}

/// Empties the cart.
pub(crate) fn clear(session: &Session) -> Result<(), Fault> {
    for product in &catalogue::PRODUCTS {
        session.remove(&field(product.sku))?;
    }
    Ok(())
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/cart", get(page))
        .route("/cart/add", post(change))
}

#[derive(Template)]
#[template(path = "cart.html")]
struct Page {
    frame: Frame,
    lines: Vec<Line>,
    total: i64,
}

#[derive(Deserialize)]
struct ChangeForm {
    sku: String,
    #[serde(default = "one")]
    by: i64,
}

async fn page(session: Session) -> Result<Html<String>, Fault> {
    let lines = lines(&session).await?;
    let total = lines.iter().map(Line::cents).sum();
    render(&Page {
        frame: Frame::of(&session, "Your cart").await?,
        lines,
        total,
    })
}

async fn change(session: Session, Form(form): Form<ChangeForm>) -> Result<Redirect, Fault> {
    let known = catalogue::find(&form.sku).is_some();
    if known && (-MOST_OF_ONE..=MOST_OF_ONE).contains(&form.by) {
        add(&session, &form.sku, form.by).await?;
    }
    Ok(Redirect::to("/cart"))
}

fn field(sku: &str) -> String {
    format!("{PREFIX}{sku}")
}

const fn one() -> i64 {
    1
}
