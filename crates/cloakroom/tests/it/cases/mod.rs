//! The table. Each row runs on every carrier; a row that fails is named, and the others still run.

mod bad_cookies;
mod caching;
mod development;
mod late;
mod ordinary;
mod outages;
mod settings;

use crate::carriers::CARRIERS;

#[test]
fn every_row_holds_on_every_carrier() {
    let tables = [
        ordinary::ORDINARY,
        late::LATE,
        settings::SETTINGS,
        development::DEVELOPMENT,
        caching::CACHING,
        outages::OUTAGES,
    ];
    let bad_cookies: Vec<_> = bad_cookies::bad_cookies().collect();
    let mut failures = Vec::new();
    actix_web::rt::System::new().block_on(async {
        for case in tables.into_iter().flatten().chain(&bad_cookies) {
            for carrier in CARRIERS {
                if let Err(why) = case.check(carrier).await {
                    failures.push(format!("{carrier:?}: {}: {why}", case.name));
                }
            }
        }
    });
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} rows fail:\n{}",
        failures.join("\n")
    );
}
