//! What visitors do.

use fantoccini::Locator;

use crate::browser::{Browser, Driver};
use crate::server::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_signs_in_shops_prefers_and_checks_out() {
    let (shop, driver) = (Shop::open().await, Driver::start().await);
    let browser = driver.browser().await;
    let page = |path: &str| format!("{}{path}", shop.url);

    browser.open(&page("/")).await;
    assert!(
        browser.0.get_all_cookies().await.unwrap().is_empty(),
        "looking costs no session"
    );
    browser.click("#add-coat").await;
    assert_eq!(browser.text("#quantity-coat").await, "1");
    let before = ticket(&browser).await;

    browser.sign_in(&shop.url, "ada").await;
    assert_eq!(browser.text("#notice").await, "Welcome, ada.");
    assert_eq!(browser.text("#items").await, "1", "the cart came along");
    assert_ne!(ticket(&browser).await, before, "signing in gives a new id");
    browser.keep_picture("shop.png").await;

    browser.open(&page("/preferences")).await;
    choose(&browser, "select[name=currency]", "pound").await;
    choose(&browser, "select[name=theme]", "night").await;
    browser.click("#save").await;
    assert_eq!(browser.text("#notice").await, "Your preferences are saved.");
    browser.open(&page("/")).await;
    assert!(!browser.has("#notice").await, "a message is shown once");
    browser.click("#add-hat").await;
    assert_eq!(browser.text("#total").await, "GBP 213.28");
    assert!(browser.has("body.night").await);
    browser.keep_picture("shop-cart.png").await;

    browser.click("#checkout").await;
    for (field, text) in [
        ("name", "Ada"),
        ("street", "12 St James's Square"),
        ("city", "London"),
    ] {
        browser
            .type_into(&format!("input[name={field}]"), text)
            .await;
    }
    browser.click("#next").await;
    browser.click("input[value=courier]").await;
    browser.click("#next").await;
    let destination = browser.text("#destination").await;
    assert_eq!(
        destination,
        "To Ada, 12 St James's Square, London, by courier, tomorrow."
    );
    let ticket = browser
        .0
        .find(Locator::Css("input[name=ticket]"))
        .await
        .unwrap();
    let ticket = ticket.attr("value").await.unwrap().unwrap();
    browser.click("#place").await;
    assert_eq!(
        browser.text("#notice").await,
        "Thank you: order 1 is on its way."
    );
    assert_eq!(browser.text("#items").await, "0");
    let again = format!(
        "fetch('/checkout/place', {{ method: 'POST', body: new URLSearchParams({{ ticket: {ticket} }}) }}).then(r => r.text())"
    );
    browser.begin(&again).await;
    let answer = browser.done().await;
    assert!(
        answer
            .as_str()
            .unwrap()
            .contains("This order was already placed.")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_add_at_once_and_nothing_is_lost() {
    let (shop, driver) = (Shop::open().await, Driver::start().await);
    let browser = driver.browser().await;
    browser.sign_in(&shop.url, "grace").await;
    let (first, second) = two_tabs(&browser, &shop).await;

    let add_many =
        "Promise.all(Array.from({ length: 20 }, (_, i) => fetch('/cart/add', { method: 'POST', \
         body: new URLSearchParams({ sku: i % 2 ? 'coat' : 'SKU' }) })))"
            .to_owned();
    browser.0.switch_to_window(first.clone()).await.unwrap();
    browser.begin(&add_many.replace("SKU", "hat")).await;
    browser.0.switch_to_window(second).await.unwrap();
    browser.begin(&add_many.replace("SKU", "scarf")).await;
    browser.done().await;
    browser.0.switch_to_window(first).await.unwrap();
    browser.done().await;

    browser.open(&format!("{}/cart", shop.url)).await;
    assert_eq!(browser.text("#quantity-coat").await, "20");
    assert_eq!(browser.text("#quantity-hat").await, "10");
    assert_eq!(browser.text("#quantity-scarf").await, "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_in_one_tab_holds_against_a_slow_request_of_another() {
    let (shop, driver) = (Shop::open().await, Driver::start().await);
    let browser = driver.browser().await;
    browser.open(&shop.url).await;
    browser.click("#add-coat").await;
    browser.sign_in(&shop.url, "linus").await;
    let (first, second) = two_tabs(&browser, &shop).await;

    browser.0.switch_to_window(second.clone()).await.unwrap();
    browser
        .begin("fetch('/slow', { method: 'POST' }).then(r => r.text())")
        .await;
    shop.slow_began.notified().await;
    browser.0.switch_to_window(first).await.unwrap();
    let before = browser.0.get_all_cookies().await.unwrap();
    browser.click("#logout").await;
    assert_eq!(browser.text("#login-link").await, "Sign in");
    shop.slow_goes_on.notify_one();
    browser.0.switch_to_window(second).await.unwrap();
    assert_eq!(browser.done().await, "added, slowly");

    browser.open(&shop.url).await;
    assert!(browser.has("#login-link").await, "still signed out");
    assert_eq!(
        browser.text("#items").await,
        "0",
        "and the cart is not back"
    );
    for cookie in before {
        browser.0.add_cookie(cookie).await.unwrap();
    }
    browser.open(&shop.url).await;
    assert!(
        browser.has("#login-link").await,
        "the old id opens nothing, even if it is kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_and_logged_out_everywhere_else() {
    let (shop, driver) = (Shop::open().await, Driver::start().await);
    let (desk, phone) = (driver.browser().await, driver.browser().await);
    desk.sign_in(&shop.url, "ada").await;
    phone.sign_in(&shop.url, "ada").await;

    desk.open(&format!("{}/devices", shop.url)).await;
    let rows = desk.0.find_all(Locator::Css("#devices tr")).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(desk.text("#devices").await.contains("Chrome on Linux"));
    desk.keep_picture("shop-devices.png").await;
    desk.click("#logout-others").await;
    assert_eq!(
        desk.text("#notice").await,
        "Signed out on 1 other device(s)."
    );

    phone.open(&shop.url).await;
    assert!(
        phone.has("#login-link").await,
        "the other device is signed out"
    );
    desk.open(&shop.url).await;
    assert_eq!(desk.text("#user").await, "ada", "this one is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_cannot_read_the_cookie() {
    let (shop, driver) = (Shop::open().await, Driver::start().await);
    let browser = driver.browser().await;
    browser.sign_in(&shop.url, "ada").await;
    let seen = browser
        .0
        .execute("return document.cookie;", Vec::new())
        .await
        .unwrap();
    assert_eq!(seen, "");
    let cookies = browser.0.get_all_cookies().await.unwrap();
    assert_eq!(cookies.len(), 1);
    assert_eq!(cookies[0].http_only(), Some(true));
    assert_eq!(
        cookies[0].same_site().map(|same_site| same_site.is_lax()),
        Some(true)
    );
}

async fn two_tabs(
    browser: &Browser,
    shop: &Shop,
) -> (fantoccini::wd::WindowHandle, fantoccini::wd::WindowHandle) {
    let first = browser.0.window().await.unwrap();
    let second = browser.0.new_window(true).await.unwrap().handle;
    browser.0.switch_to_window(second.clone()).await.unwrap();
    browser.open(&shop.url).await;
    (first, second)
}

/// The session's cookie, for comparison.
async fn ticket(browser: &Browser) -> String {
    let cookies = browser.0.get_all_cookies().await.unwrap();
    assert_eq!(cookies.len(), 1);
    cookies[0].value().to_owned()
}

async fn choose(browser: &Browser, select: &str, value: &str) {
    let select = browser.0.find(Locator::Css(select)).await.unwrap();
    select.select_by_value(value).await.unwrap();
}
