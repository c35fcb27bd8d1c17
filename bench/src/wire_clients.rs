//! The wire clients that `wire` compares, behind one trait: each with one connection, its own deadline
//! for a call, and nothing else set.

use std::future::Future;
use std::time::Duration;

use fred::interfaces::{ClientLike, KeysInterface};
use rustis::client::BatchPreparedCommand as _;
use rustis::commands::{GenericCommands as _, StringCommands as _};

/// What a call came to, as text if it failed.
pub type Answer = Result<Vec<u8>, String>;

/// A client with one connection to a server on loopback.
pub trait WireClient: Clone + Send + Sync + 'static {
    /// Crate and version.
    const NAME: &'static str;

    /// Connects.
    fn connect(port: u16, deadline: Duration) -> impl Future<Output = Self> + Send;

    /// `GET key`.
    fn get(&self, key: &str) -> impl Future<Output = Answer> + Send;

    /// What a load of the store sends: `GET key`, `PTTL key`, `GET epoch`, in one trip.
    fn load(&self, key: &str) -> impl Future<Output = Answer> + Send;
}

/// Both versions of redis-rs have the API that is needed here.
macro_rules! redis_rs {
    ($client:ident, $redis:ident, $name:literal) => {
        #[derive(Clone)]
        pub struct $client($redis::aio::MultiplexedConnection);

        impl WireClient for $client {
            const NAME: &'static str = $name;

            async fn connect(port: u16, deadline: Duration) -> Self {
                let config =
                    $redis::AsyncConnectionConfig::new().set_response_timeout(Some(deadline));
                let client = $redis::Client::open(format!("redis://127.0.0.1:{port}"));
                let client = client.expect("a URL of redis");
                let opened = client.get_multiplexed_async_connection_with_config(&config);
                Self(opened.await.expect("the server answers"))
            }

            async fn get(&self, key: &str) -> Answer {
                let mut command = $redis::cmd("GET");
                command.arg(key);
                let answer = command.query_async(&mut self.0.clone()).await;
                answer.map_err(|error| error.to_string())
            }

            async fn load(&self, key: &str) -> Answer {
                let mut pipe = $redis::pipe();
                pipe.cmd("GET").arg(key).cmd("PTTL").arg(key);
                pipe.cmd("GET").arg("epoch");
                let answer: Result<(Vec<u8>, i64, Option<Vec<u8>>), _> =
                    pipe.query_async(&mut self.0.clone()).await;
                answer
                    .map(|answer| answer.0)
                    .map_err(|error| error.to_string())
            }
        }
    };
}

redis_rs!(Redis1, redis, "redis 1.8");
redis_rs!(Redis2, redis2, "redis 2.0.0-rc.2");

/// fred.
#[derive(Clone)]
pub struct Fred(fred::clients::Client);

impl WireClient for Fred {
    const NAME: &'static str = "fred 10.1";

    async fn connect(port: u16, deadline: Duration) -> Self {
        let config = fred::prelude::Config::from_url(&format!("redis://127.0.0.1:{port}"));
        let client = fred::prelude::Builder::from_config(config.expect("a URL of fred"))
            .with_performance_config(|config| config.default_command_timeout = deadline)
            .build()
            .expect("a client can be built");
        client.init().await.expect("the server answers");
        Self(client)
    }

    async fn get(&self, key: &str) -> Answer {
        let answer: Result<fred::bytes::Bytes, _> = self.0.get(key).await;
        answer
            .map(|bytes| bytes.to_vec())
            .map_err(|error| error.to_string())
    }

    async fn load(&self, key: &str) -> Answer {
        let pipe = self.0.pipeline();
        let queued: Result<(), fred::error::Error> = async {
            let () = pipe.get(key).await?;
            let () = pipe.pttl(key).await?;
            pipe.get("epoch").await
        }
        .await;
        queued.map_err(|error| error.to_string())?;
        let answer: Result<(fred::bytes::Bytes, i64, Option<fred::bytes::Bytes>), _> =
            pipe.all().await;
        answer
            .map(|answer| answer.0.to_vec())
            .map_err(|error| error.to_string())
    }
}

/// rustis.
#[derive(Clone)]
pub struct Rustis(rustis::client::Client);

impl WireClient for Rustis {
    const NAME: &'static str = "rustis 0.27";

    async fn connect(port: u16, deadline: Duration) -> Self {
        let url = format!(
            "redis://127.0.0.1:{port}?command_timeout={}",
            deadline.as_millis()
        );
        let client = rustis::client::Client::connect(url).await;
        Self(client.expect("the server answers"))
    }

    async fn get(&self, key: &str) -> Answer {
        let answer: Result<rustis::resp::BulkString, _> = self.0.get(key).await;
        answer
            .map(|bytes| bytes.as_bytes().to_vec())
            .map_err(|error| error.to_string())
    }

    async fn load(&self, key: &str) -> Answer {
        let mut pipe = self.0.create_pipeline();
        pipe.get::<()>(key).queue();
        pipe.pttl(key).queue();
        pipe.get::<()>("epoch").queue();
        let answer: Result<(rustis::resp::BulkString, i64, Option<String>), _> =
            pipe.execute().await;
        answer
            .map(|answer| answer.0.as_bytes().to_vec())
            .map_err(|error| error.to_string())
    }
}
