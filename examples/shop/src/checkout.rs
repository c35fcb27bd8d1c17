//! The checkout in three steps. Each step is a field; the order itself is placed with a token that
//! can be taken once, so that a double click buys once.

use askama::Template;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use cloakroom::Session;
use serde::{Deserialize, Serialize};

use crate::Fault;
use crate::cart::{self, Line};
use crate::page::{Frame, render};

const ADDRESS: &str = "checkout.address";
const DELIVERY: &str = "checkout.delivery";
const TICKET: &str = "checkout.ticket";
const ORDERS: &str = "orders";

/// Where it goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Address {
    name: String,
    street: String,
    city: String,
}

/// How it gets there.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Delivery {
    #[default]
    Post,
    Courier,
}

#[derive(Deserialize)]
struct DeliveryForm {
    delivery: Delivery,
}

#[derive(Deserialize)]
struct PlaceForm {
    ticket: i64,
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route(
            "/checkout",
            get(|| async { Redirect::to("/checkout/address") }),
        )
        .route("/checkout/address", get(address_page).post(save_address))
        .route("/checkout/delivery", get(delivery_page).post(save_delivery))
        .route("/checkout/review", get(review_page))
        .route("/checkout/place", post(place))
}

#[derive(Template)]
#[template(path = "checkout_address.html")]
struct AddressPage {
    frame: Frame,
    address: Address,
}

#[derive(Template)]
#[template(path = "checkout_delivery.html")]
struct DeliveryPage {
    frame: Frame,
    courier: bool,
}

#[derive(Template)]
#[template(path = "checkout_review.html")]
struct ReviewPage {
    frame: Frame,
    address: Address,
    delivery: &'static str,
    lines: Vec<Line>,
    total: i64,
    ticket: i64,
}

async fn address_page(session: Session) -> Result<Html<String>, Fault> {
    let address = session.get(ADDRESS).await?.unwrap_or_default();
    render(&AddressPage {
        frame: Frame::of(&session, "Checkout: address").await?,
        address,
    })
}

async fn save_address(session: Session, Form(address): Form<Address>) -> Result<Redirect, Fault> {
    session.set(ADDRESS, &address)?;
    Ok(Redirect::to("/checkout/delivery"))
}

async fn delivery_page(session: Session) -> Result<Response, Fault> {
    if !session.contains(ADDRESS).await? {
        return Ok(Redirect::to("/checkout/address").into_response());
    }
    let delivery: Delivery = session.get(DELIVERY).await?.unwrap_or_default();
    let courier = matches!(delivery, Delivery::Courier);
    let frame = Frame::of(&session, "Checkout: delivery").await?;
    Ok(render(&DeliveryPage { frame, courier })?.into_response())
}

async fn save_delivery(
    session: Session,
    Form(form): Form<DeliveryForm>,
) -> Result<Redirect, Fault> {
    session.set(DELIVERY, &form.delivery)?;
    Ok(Redirect::to("/checkout/review"))
}

async fn review_page(session: Session) -> Result<Response, Fault> {
    let address: Option<Address> = session.get(ADDRESS).await?;
    let delivery: Option<Delivery> = session.get(DELIVERY).await?;
    let lines = cart::lines(&session).await?;
    let (Some(address), Some(delivery), false) = (address, delivery, lines.is_empty()) else {
        return Ok(Redirect::to("/checkout/delivery").into_response());
    };
    let ticket = session
        .update(TICKET, |old: Option<i64>| old.unwrap_or_else(fresh_ticket))
        .await?;
    let total = lines.iter().map(Line::cents).sum();
    let frame = Frame::of(&session, "Checkout: review").await?;
    let page = ReviewPage {
        frame,
        address,
        delivery: delivery.words(),
        lines,
        total,
        ticket,
    };
    Ok(render(&page)?.into_response())
}

async fn place(session: Session, Form(form): Form<PlaceForm>) -> Result<Redirect, Fault> {
    let ticket: Option<i64> = session.take(TICKET).await?;
    if ticket != Some(form.ticket) {
        session.flash("notice", "This order was already placed.")?;
        return Ok(Redirect::to("/"));
    }
    let number = session.increment(ORDERS, 1).await?;
    cart::clear(&session)?;
    session.flash(
        "notice",
        &format!("Thank you: order {number} is on its way."),
    )?;
    Ok(Redirect::to("/"))
}

impl Delivery {
    const fn words(self) -> &'static str {
        match self {
            Self::Post => "by post, in 3 days",
            Self::Courier => "by courier, tomorrow",
        }
    }
}

/// Different for each review; it need not be secret, because only this session can use it.
fn fresh_ticket() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| i64::from(now.subsec_nanos()) + 1)
}
