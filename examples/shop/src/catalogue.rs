//! What the shop sells, and the page that shows it.

use askama::Template;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use cloakroom::Session;

use crate::Fault;
use crate::page::{Frame, render};

/// Something to buy.
#[derive(Debug)]
pub(crate) struct Product {
    pub sku: &'static str,
    pub name: &'static str,
    pub blurb: &'static str,
    pub cents: i64,
    /// The outline of its picture, an SVG path in a box of 64 by 64.
    pub outline: &'static str,
}

pub(crate) const PRODUCTS: [Product; 6] = [
    Product {
        sku: "coat",
        name: "Wool coat",
        blurb: "Heavy, long, and never lost.",
        cents: 18_900,
        outline: "M24 8h16l10 8-4 10-4-2v34H22V24l-4 2-4-10z",
    },
    Product {
        sku: "umbrella",
        name: "Umbrella",
        blurb: "Opens at the first drop.",
        cents: 3_450,
        outline: "M32 8a24 24 0 0 1 24 24H34v18a6 6 0 0 1-12 0h4a2 2 0 0 0 4 0V32H8A24 24 0 0 1 32 8z",
    },
    Product {
        sku: "hat",
        name: "Felt hat",
        blurb: "For the walk from the door to the car.",
        cents: 5_900,
        outline: "M20 38l4-20h16l4 20h14l-6 8H12l-6-8z",
    },
    Product {
        sku: "scarf",
        name: "Scarf",
        blurb: "Two metres of patience.",
        cents: 2_990,
        outline: "M18 10h28v12H34v34h-6V44h-4v12h-6z",
    },
    Product {
        sku: "gloves",
        name: "Gloves",
        blurb: "Always found as a pair.",
        cents: 2_250,
        outline: "M20 56V34l-6-6 4-6 6 6V10h6v14h4V10h6v16h4V14h4v42z",
    },
    Product {
        sku: "boots",
        name: "Boots",
        blurb: "Dry since the last century.",
        cents: 12_400,
        outline: "M20 8h16v28l16 8v12H20z",
    },
];

/// The product called `sku`, if there is one.
pub(crate) fn find(sku: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.sku == sku)
}

pub(crate) fn routes() -> Router {
    Router::new().route("/", get(page))
}

#[derive(Template)]
#[template(path = "catalogue.html")]
struct Page {
    frame: Frame,
    products: &'static [Product],
}

async fn page(session: Session) -> Result<Html<String>, Fault> {
    let frame = Frame::of(&session, "The cloakroom shop").await?;
    render(&Page {
        frame,
        products: &PRODUCTS,
    })
}
