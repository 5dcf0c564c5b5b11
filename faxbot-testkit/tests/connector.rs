//! The driver's links in memory: served while the mock listens, refused while it is down.
#![cfg(test)]

use std::time::Duration;

use faxbot_sip::driver::{Connect, LinkError};
use faxbot_testkit::{
    fault::Faults,
    server::asterisk::{MemoryConnector, MockAsterisk},
};

#[tokio::test(start_paused = true)]
async fn a_link_is_served_while_the_server_listens_and_refused_while_it_is_down() {
    let mock = MockAsterisk::builder().in_memory().start().await.unwrap();
    let connector: MemoryConnector = mock.connector();
    let link = connector.connect().await.unwrap();
    let served = mock.wait_until(Duration::from_secs(1), |mock| {
        (mock.connections() == 1).then_some(())
    });
    assert!(served.await.is_some());
    mock.kill(Duration::from_secs(3));
    drop(link);
    let refused = connector.connect().await;
    assert!(matches!(refused, Err(LinkError::Connect(_))), "{refused:?}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    connector
        .with_faults(Faults::restart_in_login(1))
        .connect()
        .await
        .unwrap();
}
