//! Orders of a visitor. It knows nothing of sessions or cookies: the gateway says who asks. What it
//! keeps is in its own memory; a real one has its own database.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::extract::State;
use axum::response::{Html, Redirect};
use axum::routing::get;
use axum::{Form, Router};
use cloakroom_example_microservices::page::{Frame, render};
use cloakroom_example_microservices::{Fault, Visitor, serve};
use serde::Deserialize;

/// What was ordered, by whom.
type Orders = Arc<Mutex<HashMap<String, Vec<String>>>>;

/// The longest name of a thing, and how many one visitor may order.
const NAME_CHARS: usize = 60;
const MOST: usize = 100;

#[tokio::main]
async fn main() -> io::Result<()> {
    let routes = Router::new()
        .route("/orders/", get(list).post(place))
        .with_state(Orders::default());
    serve("orders", "127.0.0.1:3002", routes).await
}

#[derive(Template)]
#[template(path = "orders.html")]
struct Page {
    frame: Frame,
    orders: Vec<String>,
}

#[derive(Deserialize)]
struct Order {
    thing: String,
}

async fn list(visitor: Visitor, State(all): State<Orders>) -> Result<Html<String>, Fault> {
    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let orders = all.get(&visitor.subject).cloned().unwrap_or_default();
    let frame = Frame::new("Your orders", Some(visitor.subject));
    render(&Page { frame, orders })
}

async fn place(visitor: Visitor, State(all): State<Orders>, Form(order): Form<Order>) -> Redirect {
    let thing: String = order.thing.chars().take(NAME_CHARS).collect();
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let orders = all.entry(visitor.subject).or_default();
    if orders.len() < MOST && !thing.trim().is_empty() {
        orders.push(thing);
    }
    Redirect::to("/orders/")
}
