//! Each route of FlexiAPI, typed, against the mock.
#![cfg(test)]
#![cfg(feature = "flexisip")]

mod flexisip_support;

use std::collections::BTreeMap;

use faxbot_core::{ErrorKind, Private, Result, Secret, Timestamp};
use faxbot_sip::adapter::flexisip::{
    AccountUpdate, DeviceReport, DtmfProtocol, ExternalProtocol, FlexiLogin, ForwardTo,
    ForwardingType, InviteState, NewAccount, NewCallForwarding, NewCallStatistic,
    NewExternalAccount, NewMessageStatistic, NewSpace, NewWizard, Owner, PushKind, PushProvider,
    PushTarget, TokenAccount, Validation, VoicemailType,
};
use faxbot_testkit::{
    fixtures::private,
    server::flexisip::{MockDevice, MockFlexisip},
};
use flexisip_support::{address, admin, api, digest, key, user};

fn kind<T>(result: Result<T>) -> ErrorKind {
    result.err().expect("a refusal").kind()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_account_is_made_found_changed_and_deleted() {
    let mock = MockFlexisip::new().in_memory();
    let api = admin(&mock);
    let mut new = NewAccount::new("alice", "hunter2").activated();
    new.email = Some(Private::new("alice@example.org".to_owned()));
    new.phone = Some(Private::new(private::NUMBER.to_owned()));
    new.dtmf_protocol = Some(DtmfProtocol::Rfc2833);
    let entries = BTreeMap::from([("department".to_owned(), "7".to_owned())]);
    new.dictionary = Private::new(entries);
    let made = api.create_account(&new).await.unwrap();
    assert!(made.activated && !made.admin && !made.blocked);
    assert_eq!(made.domain, MockFlexisip::DOMAIN);
    assert_eq!(made.dtmf_protocol.as_deref(), Some("rfc2833"));
    assert_eq!(made.dictionary.expose()["department"], "7");
    assert_eq!(made.created_at, Some(at("2026-11-21T08:00:00Z")));
    assert!(made.provisioning_token.is_some());

    let sip = format!("sip:{}", address("alice"));
    for found in [
        api.account(made.id).await.unwrap(),
        api.search_by_sip(&sip).await.unwrap(),
        api.search_by_sip(&address("alice")).await.unwrap(),
        api.search_by_email("alice@example.org").await.unwrap(),
        api.resolve(&sip).await.unwrap(),
    ] {
        assert_eq!(found.id, made.id);
        assert_eq!(found.sip_uri.as_ref().map(Private::expose), Some(&sip));
        assert!(found.provisioning_token.is_none());
    }
    assert!(!api.deactivate_account(made.id).await.unwrap().activated);
    assert!(api.activate_account(made.id).await.unwrap().activated);
    assert!(api.block_account(made.id).await.unwrap().blocked);
    let blocked = api.unblock_account(made.id).await.unwrap();
    assert!(!blocked.blocked);

    let mut update = AccountUpdate::of(&blocked);
    update.display_name = Some(Private::new("Alice".to_owned()));
    let updated = api.update_account(made.id, &update).await.unwrap();
    assert_eq!(updated.display_name, Some(Private::new("Alice".to_owned())));
    assert_eq!(updated.email, new.email);
    assert_eq!(updated.phone, new.phone);
    assert_eq!(updated.dictionary.expose()["department"], "7");

    let before = updated.provisioning_token.unwrap();
    let after = api.provision(made.id).await.unwrap().provisioning_token;
    assert_ne!(after.unwrap().expose(), before.expose());
    api.send_provisioning_email(made.id).await.unwrap();
    api.send_reset_password_email(made.id).await.unwrap();
    assert_eq!(
        kind(api.send_provisioning_email(2).await),
        ErrorKind::PermissionDenied
    );

    api.delete_account(made.id).await.unwrap();
    assert_eq!(kind(api.account(made.id).await), ErrorKind::NotFound);
    assert_eq!(kind(api.delete_account(made.id).await), ErrorKind::NotFound);
    // The name of a deleted account stays taken.
    let error = api.create_account(&new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let wrong = Validation::of(&error).unwrap();
    assert_eq!(wrong.fields().collect::<Vec<_>>(), ["username"]);
    assert_eq!(wrong.texts("username").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn accounts_come_in_pages_and_each_once() {
    let mock = MockFlexisip::new().in_memory();
    mock.vendor(|it| {
        for number in 0..43 {
            it.add_account(&format!("user{number}"));
        }
    });
    let api = admin(&mock);
    let (mut seen, mut page) = (Vec::new(), Some(1));
    while let Some(number) = page {
        let got = api.accounts(number).await.unwrap();
        assert_eq!((got.total, got.last_page), (45, 3));
        page = got.next();
        seen.extend(got.data.into_iter().map(|account| account.id));
    }
    assert_eq!(seen.len(), 45);
    seen.dedup();
    assert_eq!(seen.len(), 45);
    let beyond = api.accounts(9).await.unwrap();
    assert!(beyond.data.is_empty() && beyond.next().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_account_sees_and_changes_itself() {
    let mock = MockFlexisip::new().in_memory();
    let api = user(&mock);
    let me = api.me().await.unwrap();
    assert_eq!(
        (me.id, me.username.expose().as_str()),
        (2, MockFlexisip::USER)
    );
    assert!(
        api.provision(Owner::Me)
            .await
            .unwrap()
            .provisioning_token
            .is_some()
    );
    assert_eq!(kind(api.turn_service().await), ErrorKind::NotFound);

    // A change wants a creation token that was consumed.
    assert_eq!(
        kind(api.request_email("new@example.org").await),
        ErrorKind::PermissionDenied
    );
    let token = admin(&mock).create_creation_token().await.unwrap();
    assert_eq!(token.expire_at, Some(at("2026-11-22T08:00:00Z")));
    api.consume_creation_token(&token.token).await.unwrap();
    assert_eq!(
        kind(api.consume_creation_token(&token.token).await),
        ErrorKind::NotFound
    );
    api.request_email("new@example.org").await.unwrap();
    api.request_phone(private::NUMBER).await.unwrap();
    assert_eq!(
        kind(api.confirm_email(&Secret::new("0000")).await),
        ErrorKind::Rejected
    );
    let code = Secret::new(MockFlexisip::CODE);
    let changed = api.confirm_email(&code).await.unwrap();
    assert_eq!(
        changed.email,
        Some(Private::new("new@example.org".to_owned()))
    );
    let changed = api.confirm_phone(&code).await.unwrap();
    assert_eq!(
        changed.phone,
        Some(Private::new(private::NUMBER.to_owned()))
    );

    let (old, new) = (Secret::new(MockFlexisip::PASSWORD), Secret::new("another"));
    let error = api.change_password(Some(&new), &new).await.unwrap_err();
    assert!(Validation::of(&error).unwrap().has("old_password"));
    api.change_password(Some(&old), &new).await.unwrap();
    flexisip_support::api(&mock, &digest("another"))
        .me()
        .await
        .unwrap();

    api.delete_me().await.unwrap();
    assert!(mock.vendor(|it| it.account(2).is_none()));
}

#[tokio::test(start_paused = true)]
async fn devices_are_listed_and_removed_and_an_empty_list_proves_nothing() {
    let mock = MockFlexisip::new().in_memory();
    let (api, admin) = (user(&mock), admin(&mock));
    assert!(api.devices(Owner::Me).await.unwrap().is_empty());
    mock.vendor(|it| {
        it.register(2, MockDevice::new("urn:uuid:1", "Linphone/6"));
        it.register(2, MockDevice::new("urn:uuid:2", "Linphone/5"));
    });
    for devices in [
        api.devices(Owner::Me).await.unwrap(),
        admin.devices(2).await.unwrap(),
    ] {
        assert_eq!(devices.len(), 2);
        assert_eq!(devices[0].uuid.expose(), "urn:uuid:1");
        assert_eq!(devices[0].update_time, "1795248000");
    }
    assert!(api.delete_device(Owner::Me, "urn:uuid:1").await.unwrap());
    assert!(!api.delete_device(Owner::Me, "urn:uuid:1").await.unwrap());
    assert!(!admin.delete_device(2, "a/../b?c").await.unwrap());
    mock.vendor(|it| it.set_store_down(true));
    assert!(api.devices(Owner::Me).await.unwrap().is_empty());
    assert!(!admin.delete_device(2, "urn:uuid:2").await.unwrap());
    assert_eq!(mock.vendor(|it| it.account(2).unwrap().devices.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn contacts_and_their_lists_are_kept() {
    let mock = MockFlexisip::new().in_memory();
    let api = admin(&mock);
    let other = mock.vendor(|it| it.add_account("bob"));
    assert!(api.contacts(2).await.unwrap().is_empty());
    api.add_contact(2, other).await.unwrap();
    api.add_contact(2, other).await.unwrap();
    assert_eq!(api.contacts(2).await.unwrap().len(), 1);
    assert_eq!(api.contact(2, other).await.unwrap().id, other);
    assert_eq!(kind(api.add_contact(2, 9999).await), ErrorKind::NotFound);
    let own = user(&mock);
    assert_eq!(own.contacts(Owner::Me).await.unwrap()[0].id, other);
    assert_eq!(own.my_contact(&address("bob")).await.unwrap().id, other);
    api.remove_contact(2, other).await.unwrap();
    assert_eq!(
        kind(api.remove_contact(2, other).await),
        ErrorKind::NotFound
    );

    let list = api.create_contacts_list("team", "all of it").await.unwrap();
    assert_eq!(list.contacts_count, Some(0));
    api.add_to_contacts_list(list.id, other).await.unwrap();
    assert_eq!(
        api.contacts_lists().await.unwrap()[0].contacts_count,
        Some(1)
    );
    api.remove_from_contacts_list(list.id, other).await.unwrap();
    let gone = api.remove_from_contacts_list(list.id, other).await;
    assert_eq!(kind(gone), ErrorKind::NotFound);
    let named = api
        .update_contacts_list(list.id, "crew", "some")
        .await
        .unwrap();
    assert_eq!(
        (named.title.as_str(), named.description.as_str()),
        ("crew", "some")
    );
    api.share_contacts_list(2, list.id).await.unwrap();
    let twice = api.share_contacts_list(2, list.id).await;
    assert_eq!(kind(twice), ErrorKind::PermissionDenied);
    api.unshare_contacts_list(2, list.id).await.unwrap();
    api.delete_contacts_list(list.id).await.unwrap();
    assert_eq!(
        kind(api.delete_contacts_list(list.id).await),
        ErrorKind::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn types_actions_dictionary_and_external_account_are_kept() {
    let mock = MockFlexisip::new().in_memory();
    let api = admin(&mock);
    let door = api.create_account_type("door").await.unwrap();
    assert!(Validation::of(&api.create_account_type("door").await.unwrap_err()).is_some());
    assert_eq!(
        api.update_account_type(door.id, "gate").await.unwrap().key,
        "gate"
    );
    api.add_account_type(2, door.id).await.unwrap();
    assert_eq!(
        kind(api.add_account_type(2, door.id).await),
        ErrorKind::PermissionDenied
    );
    assert_eq!(api.account(2).await.unwrap().types[0].id, door.id);
    api.remove_account_type(2, door.id).await.unwrap();
    assert_eq!(api.account_types().await.unwrap().len(), 1);
    api.delete_account_type(door.id).await.unwrap();
    assert_eq!(
        kind(api.delete_account_type(door.id).await),
        ErrorKind::NotFound
    );

    assert_eq!(kind(api.actions(2).await), ErrorKind::PermissionDenied);
    let mut update = AccountUpdate::of(&api.account(2).await.unwrap());
    update.dtmf_protocol = Some(DtmfProtocol::SipInfo.as_str().to_owned());
    api.update_account(2, &update).await.unwrap();
    let action = api.create_action(2, "open", "9").await.unwrap();
    let changed = api.update_action(2, action.id, "open", "1").await.unwrap();
    assert_eq!(changed.code.expose(), "1");
    assert_eq!(api.actions(2).await.unwrap(), [changed]);
    api.delete_action(2, action.id).await.unwrap();
    assert_eq!(
        kind(api.delete_action(2, action.id).await),
        ErrorKind::NotFound
    );

    assert!(api.dictionary(2).await.unwrap().expose().is_empty());
    assert!(api.dictionary_entry(2, "a/b").await.unwrap().is_none());
    api.set_dictionary_entry(2, "a/b", "c").await.unwrap();
    let read = api.dictionary_entry(2, "a/b").await.unwrap();
    assert_eq!(read.unwrap().expose(), "c");
    assert_eq!(api.dictionary(2).await.unwrap().expose().len(), 1);
    api.delete_dictionary_entry(2, "a/b").await.unwrap();
    assert_eq!(
        kind(api.delete_dictionary_entry(2, "a/b").await),
        ErrorKind::NotFound
    );
    api.clear_dictionary(2).await.unwrap();

    assert_eq!(kind(api.external_account(2).await), ErrorKind::NotFound);
    let mut external =
        NewExternalAccount::new("fax", "trunk.example", "hunter2", ExternalProtocol::Tls);
    external.registrar = Some("reg.trunk.example".to_owned());
    api.set_external_account(2, &external).await.unwrap();
    let read = api.external_account(2).await.unwrap();
    assert_eq!(
        (read.protocol.as_str(), read.registrar),
        ("TLS", external.registrar.clone())
    );
    external.realm = Some("trunk.example".to_owned());
    let error = api.set_external_account(2, &external).await.unwrap_err();
    assert!(Validation::of(&error).unwrap().has("realm"));
    api.delete_external_account(2).await.unwrap();
    assert_eq!(kind(api.external_account(2).await), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn tokens_make_accounts_and_keys() {
    let mock = MockFlexisip::new().in_memory();
    let nobody = api(&mock, &FlexiLogin::None);
    let asked = nobody.create_creation_request_token().await.unwrap();
    assert!(asked.validation_url.is_some());
    let early = nobody.creation_token_by_request(&asked.token).await;
    assert_eq!(kind(early), ErrorKind::NotFound);
    let unknown = nobody.creation_token_by_request(&Secret::new("x")).await;
    assert_eq!(kind(unknown), ErrorKind::Rejected);
    assert!(mock.vendor(|it| it.solve(asked.token.expose())));
    let token = nobody
        .creation_token_by_request(&asked.token)
        .await
        .unwrap();
    let new = TokenAccount::new("carol", "hunter2", token.token);
    let made = nobody.create_account_with_token(&new).await.unwrap();
    assert!(!made.activated);
    let again = nobody.create_account_with_token(&new).await.unwrap_err();
    assert!(
        Validation::of(&again)
            .unwrap()
            .has("account_creation_token")
    );

    // A login elsewhere: nobody attached, attached, taken.
    let login = nobody.create_auth_token().await.unwrap();
    assert_eq!(
        kind(nobody.api_key_by_auth_token(&login).await),
        ErrorKind::NotFound
    );
    let user = user(&mock);
    user.attach_auth_token(&login).await.unwrap();
    assert_eq!(
        kind(user.attach_auth_token(&login).await),
        ErrorKind::NotFound
    );
    let theirs = nobody.api_key_by_auth_token(&login).await.unwrap();
    assert_eq!(
        kind(nobody.api_key_by_auth_token(&login).await),
        ErrorKind::NotFound
    );
    assert_eq!(api(&mock, &key(theirs.expose())).me().await.unwrap().id, 2);

    // A new key ends the one before.
    let own = user.create_api_key().await.unwrap();
    assert_eq!(api(&mock, &key(own.expose())).me().await.unwrap().id, 2);
    let old = api(&mock, &key(theirs.expose())).me().await;
    assert_eq!(kind(old), ErrorKind::Authentication);
}

#[tokio::test(start_paused = true)]
async fn pushes_are_sent_once_and_what_is_not_sent_is_told() {
    let mock = MockFlexisip::new().in_memory();
    let (nobody, user) = (api(&mock, &FlexiLogin::None), user(&mock));
    let target = PushTarget::new(PushProvider::Fcm, "project", "token:1");
    nobody.push_creation_token(&target).await.unwrap();
    nobody.push_recovery_token(&target).await.unwrap();
    user.push_notification(&target, PushKind::Call, Some("abc~1@host"))
        .await
        .unwrap();
    assert_eq!(
        mock.vendor(|it| it.pushes().to_vec()),
        ["token", "token", "call"]
    );

    let odd = PushTarget::new(PushProvider::Apns, "a b", "c");
    let error = nobody.push_creation_token(&odd).await.unwrap_err();
    assert!(Validation::of(&error).unwrap().has("pn_param"));
    let before = mock.requests().len();
    mock.vendor(|it| it.set_pusher_down(true));
    let error = user
        .push_notification(&target, PushKind::Message, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerBusy);
    assert!(error.is_retryable());
    mock.vendor(|it| it.set_throttled(true));
    assert_eq!(
        kind(nobody.push_creation_token(&target).await),
        ErrorKind::Overloaded
    );
    assert_eq!(mock.requests().len(), before + 2);
}

#[tokio::test(start_paused = true)]
async fn messages_are_handed_to_the_daemon_where_there_is_one() {
    let mock = MockFlexisip::new().in_memory();
    let api = admin(&mock);
    let bob = address("bob");
    assert_eq!(
        kind(api.send_message(&bob, private::MESSAGE).await),
        ErrorKind::NotFound
    );
    mock.vendor(|it| it.set_daemon(Some(Ok(()))));
    let id = api
        .send_message(&format!("sip:{bob}"), private::MESSAGE)
        .await
        .unwrap();
    assert_eq!(id, "1");
    assert_eq!(
        mock.vendor(|it| it.messages().to_vec()),
        [(bob.clone(), private::MESSAGE.to_owned())]
    );
    mock.vendor(|it| it.set_daemon(Some(Err("Invalid uri".to_owned()))));
    let error = api.send_message(&bob, "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.native_text(), Some("Invalid uri"));
    let refused = user(&mock).send_message(&bob, "x").await;
    assert_eq!(kind(refused), ErrorKind::PermissionDenied);

    // A line end would end the command to the daemon.
    let before = mock.requests().len();
    for (to, text) in [
        (bob.as_str(), "a\nquit"),
        (&bob, "a\rquit"),
        (&bob, ""),
        ("bob", "x"),
        ("a b@c", "x"),
        ("a@b\nquit", "x"),
    ] {
        assert_eq!(
            kind(api.send_message(to, text).await),
            ErrorKind::InvalidRequest,
            "{text:?}"
        );
    }
    assert_eq!(mock.requests().len(), before);
}

#[tokio::test(start_paused = true)]
async fn statistics_are_written_and_read_in_pages() {
    let mock = MockFlexisip::new().in_memory();
    let (api, user) = (admin(&mock), user(&mock));
    let (me, bob) = (address(MockFlexisip::USER), address("bob"));
    for minute in 10..42 {
        let when = at(&format!("2026-11-21T08:{minute}:00Z"));
        let call =
            NewCallStatistic::new(format!("call {minute}"), &*me, format!("sip:{bob}"), when);
        api.store_call(&call).await.unwrap();
    }
    let first = NewCallStatistic::new("call 10", &*me, &*bob, at("2026-11-21T08:10:00Z"));
    assert_eq!(kind(api.store_call(&first).await), ErrorKind::Rejected);
    api.end_call("call 41", at("2026-11-21T09:00:00Z"))
        .await
        .unwrap();
    assert_eq!(
        kind(api.end_call("call 9", at("2026-11-21T09:00:00Z")).await),
        ErrorKind::NotFound
    );
    let rang = DeviceReport::rang(at("2026-11-21T08:41:01Z"));
    api.store_call_device("call 41", "<urn:1>", rang)
        .await
        .unwrap();
    let ended = DeviceReport::ended(at("2026-11-21T08:41:09Z"), InviteState::Accepted);
    api.store_call_device("call 41", "<urn:1>", ended)
        .await
        .unwrap();
    let unknown = api.store_call_device("call 9", "<urn:1>", rang).await;
    assert_eq!(kind(unknown), ErrorKind::Rejected);

    let page = user.call_statistics(Owner::Me, 1).await.unwrap();
    assert_eq!(
        (page.data.len(), page.total, page.next()),
        (30, 32, Some(2))
    );
    let newest = &page.data[0];
    assert_eq!(newest.id, "call 41");
    assert_eq!(newest.ended_at, Some(at("2026-11-21T09:00:00Z")));
    assert_eq!(newest.from_username.expose(), MockFlexisip::USER);
    assert_eq!(newest.devices.len(), 1);
    let state = newest.devices[0].invite_terminated_state.as_deref();
    assert_eq!(state, Some(InviteState::Accepted.as_str()));
    assert_eq!(newest.devices[0].rang_at, rang.rang_at);
    let last = api.call_statistics(2, 2).await.unwrap();
    assert_eq!((last.data.len(), last.next()), (2, None));

    let sent = at("2026-11-21T08:00:00Z");
    let message = NewMessageStatistic::new("m1", &*me, sent, true);
    api.store_message(&message).await.unwrap();
    assert_eq!(kind(api.store_message(&message).await), ErrorKind::Rejected);
    api.store_message_device("m1", &bob, "urn:1", 200, sent)
        .await
        .unwrap();
    api.store_message_device("m1", &bob, "urn:1", 202, sent)
        .await
        .unwrap();
    let unknown = api
        .store_message_device("m2", &bob, "urn:1", 200, sent)
        .await;
    assert_eq!(kind(unknown), ErrorKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn calls_are_forwarded_by_rules_that_do_not_contradict_each_other() {
    let mock = MockFlexisip::new().in_memory();
    let (api, admin) = (user(&mock), admin(&mock));
    let to = || ForwardTo::SipUri(Private::new(address("bob")));
    let busy = NewCallForwarding::new(ForwardingType::Busy, to());
    let rule = api.create_call_forwarding(Owner::Me, &busy).await.unwrap();
    assert_eq!(
        (rule.kind.as_str(), rule.forward_to.as_str()),
        ("busy", "sip_uri")
    );
    assert_eq!(
        rule.sip_uri.unwrap().expose(),
        &format!("sip:{}", address("bob"))
    );
    let always = NewCallForwarding::new(ForwardingType::Always, ForwardTo::Voicemail);
    let error = admin.create_call_forwarding(2, &always).await.unwrap_err();
    assert!(Validation::of(&error).unwrap().has("type"));
    let mut off = busy.clone();
    off.enabled = false;
    assert!(
        !admin
            .update_call_forwarding(2, rule.id, &off)
            .await
            .unwrap()
            .enabled
    );
    admin.create_call_forwarding(2, &always).await.unwrap();
    assert_eq!(api.call_forwardings(Owner::Me).await.unwrap().len(), 2);
    assert_eq!(
        api.call_forwarding(Owner::Me, rule.id).await.unwrap().id,
        rule.id
    );
    let stranger = NewCallForwarding::new(ForwardingType::NoAnswer, ForwardTo::Contact(1));
    let error = api
        .create_call_forwarding(Owner::Me, &stranger)
        .await
        .unwrap_err();
    assert!(Validation::of(&error).unwrap().has("contact_id"));
    api.delete_call_forwarding(Owner::Me, rule.id)
        .await
        .unwrap();
    let gone = api.delete_call_forwarding(Owner::Me, rule.id).await;
    assert_eq!(kind(gone), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_voicemail_is_a_slot_that_is_filled_once() {
    let mock = MockFlexisip::new().in_memory();
    let (api, admin) = (user(&mock), admin(&mock));
    let kind_of = VoicemailType::Wav;
    let error = admin.create_voicemail(2, kind_of, None).await.unwrap_err();
    assert_eq!(error.native_code(), Some("422"));
    let mut update = AccountUpdate::of(&admin.account(2).await.unwrap());
    update.email = Some(Private::new("a@example.org".to_owned()));
    admin.update_account(2, &update).await.unwrap();
    let from = address("bob");
    let slot = admin
        .create_voicemail(2, kind_of, Some(&from))
        .await
        .unwrap();
    assert!(slot.uploaded_at.is_none() && slot.upload_url.is_some());
    assert_eq!(slot.max_upload_size, Some(2_097_152));
    let sound = b"RIFF".to_vec();
    let wrong = admin
        .upload_voicemail(&slot.id, VoicemailType::Opus, sound.clone())
        .await;
    assert_eq!(kind(wrong), ErrorKind::Rejected);
    let full = admin
        .upload_voicemail(&slot.id, kind_of, sound.clone())
        .await
        .unwrap();
    assert!(full.uploaded_at.is_some() && full.download_url.is_some());
    let twice = admin.upload_voicemail(&slot.id, kind_of, sound).await;
    assert_eq!(kind(twice), ErrorKind::NotFound);
    assert_eq!(api.voicemails().await.unwrap().len(), 1);
    assert_eq!(
        api.voicemail(&slot.id).await.unwrap().content_type,
        kind_of.as_str()
    );
    api.delete_voicemail(Owner::Me, &slot.id).await.unwrap();
    assert_eq!(
        kind(api.delete_voicemail(Owner::Me, &slot.id).await),
        ErrorKind::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn vcards_are_kept_by_their_uid() {
    let mock = MockFlexisip::new().in_memory();
    let api = user(&mock);
    let card = |uid: &str, name: &str| {
        format!("BEGIN:VCARD\r\nVERSION:4.0\r\nUID:{uid}\r\nFN:{name}\r\nEND:VCARD\r\n")
    };
    let uid = "urn:uuid:1/2";
    api.create_vcard(Owner::Me, &card(uid, "a")).await.unwrap();
    let taken = api
        .create_vcard(Owner::Me, &card(uid, "b"))
        .await
        .unwrap_err();
    assert_eq!(
        (taken.kind(), taken.native_code()),
        (ErrorKind::Rejected, Some("409"))
    );
    api.update_vcard(Owner::Me, uid, &card(uid, "b"))
        .await
        .unwrap();
    let other = api.update_vcard(Owner::Me, uid, &card("x", "b")).await;
    assert_eq!(kind(other), ErrorKind::Rejected);
    assert!(
        api.vcard(Owner::Me, uid)
            .await
            .unwrap()
            .vcard
            .expose()
            .contains("FN:b")
    );
    assert_eq!(admin(&mock).vcards(2).await.unwrap().len(), 1);
    api.delete_vcard(Owner::Me, uid).await.unwrap();
    assert_eq!(
        kind(api.delete_vcard(Owner::Me, uid).await),
        ErrorKind::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn spaces_and_countries_are_for_super_admins() {
    let mock = MockFlexisip::new().in_memory();
    let api = admin(&mock);
    assert_eq!(kind(api.spaces().await), ErrorKind::PermissionDenied);
    let mock = MockFlexisip::new().super_space().in_memory();
    let api = admin(&mock);
    assert_eq!(api.spaces().await.unwrap().len(), 1);
    let new = NewSpace::new("Other", "other.example", "flexi.other.example");
    api.create_space(&new).await.unwrap();
    let error = api.create_space(&new).await.unwrap_err();
    assert!(Validation::of(&error).unwrap().has("domain"));
    let mut space = api.space("other.example").await.unwrap();
    assert_eq!(space.others["theme_hue"], 22);
    space.max_accounts = 5;
    // The rest of it goes back as it came: what is left out is refused.
    assert_eq!(api.update_space(&space).await.unwrap().max_accounts, 5);
    api.delete_space("other.example").await.unwrap();
    assert_eq!(
        kind(api.delete_space("other.example").await),
        ErrorKind::NotFound
    );

    let nobody = flexisip_support::api(&mock, &FlexiLogin::None);
    api.activate_phone_country("CA").await.unwrap();
    let countries = nobody.phone_countries().await.unwrap();
    let on = |code: &str| countries.iter().any(|it| it.code == code && it.activated);
    assert!(on("CA") && on("US") && on("DE"));
    api.deactivate_phone_country("DE").await.unwrap();
    assert_eq!(
        kind(api.activate_phone_country("XX").await),
        ErrorKind::NotFound
    );

    let link = api
        .create_wizard(&NewWizard::call(address("bob")))
        .await
        .unwrap();
    assert!(link.url.unwrap().expose().contains(link.token.expose()));
    api.create_wizard(&NewWizard::provision(2)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn ids_and_addresses_stay_one_segment() {
    let mock = MockFlexisip::new().in_memory();
    let api = admin(&mock);
    for odd in ["a/../../spaces", "x?y=1", "x#y", "%2e%2e", "ä", "a;b=c"] {
        let _ = api.vcard(2, odd).await;
        let path = mock.requests().last().unwrap().segments();
        assert_eq!(path, ["api", "accounts", "2", "vcards-storage", odd]);
    }
    let before = mock.requests().len();
    for odd in ["", ".", ".."] {
        assert_eq!(kind(api.vcard(2, odd).await), ErrorKind::InvalidRequest);
    }
    assert_eq!(mock.requests().len(), before);
}
