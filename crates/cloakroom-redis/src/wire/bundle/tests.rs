//! Callers come, leave and are answered in all orders; nobody gets what another asked for.

use futures_util::FutureExt as _;

use super::sending::Sending;
use super::*;

/// A caller that asks its own number, as often as it has commands.
fn asks(number: i64, count: usize) -> Asked {
    let command = || super::super::command("ECHO", [number]);
    match count {
        1 => Asked::One(command()),
        count => Asked::Many((0..count).map(|_| command()).collect()),
    }
}

/// What the server would answer: to each command the number in it.
fn echoed(commands: &[Command]) -> Vec<Reply> {
    let number = |command: &Command| match command.args_iter().nth(1) {
        Some(redis::Arg::Simple(word)) => str::from_utf8(word).ok()?.parse().ok(),
        _ => None,
    };
    let numbers = commands
        .iter()
        .map(|command| number(command).expect("a number"));
    numbers.map(Reply::Int).collect()
}

fn arrives(desk: &Desk, bundle: Bundle) {
    let replies = echoed(&bundle.commands);
    desk.deliver((bundle.places, Ok(replies)), &mut VecDeque::new());
}

fn next(desk: &Desk) -> Option<Bundle> {
    desk.next(true, &Context::from_waker(Waker::noop())).ok()
}

fn asking(desk: &Arc<Desk>, asked: Asked) -> Asking {
    asking_until(desk, asked, None)
}

fn new(desk: &Arc<Desk>, asked: Asked, until: Option<Instant>) -> Asking {
    Asking {
        desk: Arc::clone(desk),
        asked: Some(asked),
        place: None,
        until,
    }
}

fn asking_until(desk: &Arc<Desk>, asked: Asked, until: Option<Instant>) -> Asking {
    let mut asking = new(desk, asked, until);
    assert!(
        (&mut asking).now_or_never().is_none(),
        "nothing was sent yet"
    );
    asking
}

/// What a caller was answered, if it was.
fn answer(asking: &mut Asking) -> Option<Vec<Reply>> {
    asking
        .now_or_never()
        .map(|answer| answer.expect("it is answered").all())
}

#[test]
fn who_leaves_takes_its_commands_along() {
    let desk = Arc::new(Desk::default());
    let mut callers: Vec<_> = (0..4)
        .map(|number| asking(&desk, asks(number, 1)))
        .collect();
    drop(callers.remove(1));
    drop(callers.remove(0));
    let bundle = next(&desk).expect("two are left");
    assert_eq!(bundle.commands.len(), 2);
    arrives(&desk, bundle);
    for (caller, number) in callers.iter_mut().zip(2..) {
        assert_eq!(answer(caller), Some(vec![Reply::Int(number)]));
    }
}

#[test]
fn a_place_is_not_given_away_before_its_replies_came() {
    let desk = Arc::new(Desk::default());
    drop_sent(&desk);
    let mut later = asking(&desk, asks(2, 1));
    let first = desk.0.lock().places.len();
    assert_eq!(first, 2, "the one who left still has a place");
    let bundle = next(&desk).expect("it waits");
    arrives(&desk, bundle);
    assert_eq!(answer(&mut later), Some(vec![Reply::Int(2)]));
}

/// Somebody asks, is sent, and leaves; the replies never come.
fn drop_sent(desk: &Arc<Desk>) {
    let caller = asking(desk, asks(1, 1));
    assert!(next(desk).is_some(), "it is sent");
    drop(caller);
}

#[test]
fn when_nobody_sends_any_more_all_are_told() {
    let desk = Arc::new(Desk::default());
    let mut sent = asking(&desk, asks(1, 1));
    assert!(next(&desk).is_some(), "it is sent");
    let mut waiting = asking(&desk, asks(2, 1));
    drop(Sending {
        desk: Arc::clone(&desk),
        called: VecDeque::new(),
        timer: None,
    });
    for caller in [&mut sent, &mut waiting] {
        let told = caller.now_or_never().expect("it is told");
        told.expect_err("nobody sends it");
    }
    let mut late = new(&desk, asks(3, 1), None);
    let told = (&mut late).now_or_never().expect("it is told at once");
    told.expect_err("nobody sends it");
}

/// Whose time is over is told so, and takes along what was not sent; what was sent comes back to nobody else.
#[test]
fn who_is_late_is_told_and_gets_nobody_elses_reply() {
    let desk = Arc::new(Desk::default());
    let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(60));
    let mut sent = asking_until(&desk, asks(1, 1), Some(now));
    let bundle = next(&desk).expect("it is sent");
    let mut waiting = asking_until(&desk, asks(2, 1), Some(now));
    let mut in_time = asking_until(&desk, asks(3, 1), Some(later));
    let mut called = VecDeque::new();
    assert_eq!(desk.give_up(&mut called), Some(later), "when to look again");
    assert_eq!(called.len(), 2, "the two who are late are called");
    for caller in [&mut waiting, &mut sent] {
        let told = caller.now_or_never().expect("it is told");
        assert!(told.expect_err("its time is over").is_timeout());
    }
    let mut next_one = asking(&desk, asks(4, 1));
    arrives(&desk, bundle);
    let bundle = next(&desk).expect("two wait");
    assert_eq!(
        bundle.commands.len(),
        2,
        "what is late is not sent any more"
    );
    arrives(&desk, bundle);
    assert_eq!(answer(&mut in_time), Some(vec![Reply::Int(3)]));
    assert_eq!(answer(&mut next_one), Some(vec![Reply::Int(4)]));
    assert_eq!(desk.give_up(&mut called), None, "nobody waits");
}

/// Also those whose replies seem to be there: whose each of them is, is told by their number.
#[test]
fn a_bundle_with_another_number_of_replies_fails() {
    for replies in [3, 5] {
        let desk = Arc::new(Desk::default());
        let mut both = [1, 2].map(|number| asking(&desk, asks(number, 2)));
        let bundle = next(&desk).expect("two wait");
        let replies = vec![Reply::Int(1); replies];
        desk.deliver((bundle.places, Ok(replies)), &mut VecDeque::new());
        for caller in &mut both {
            let told = caller.now_or_never().expect("it is told");
            told.expect_err("nobody knows whose they are");
        }
    }
}

/// What a server answers late, because there is so much of it, holds up nobody who asked little.
#[test]
fn who_asks_much_goes_alone() {
    let desk = Arc::new(Desk::default());
    let sizes = [1, COMMANDS + 1, 100, 28, 1, COMMANDS + 1];
    let _callers = sizes.map(|count| asking(&desk, asks(1, count)));
    let bundles = std::iter::from_fn(|| next(&desk));
    let sent: Vec<usize> = bundles.map(|bundle| bundle.commands.len()).collect();
    assert_eq!(sent, [1, COMMANDS + 1, 128, 1, COMMANDS + 1]);
}

#[test]
fn who_asks_nothing_is_told_so_at_once() {
    let desk = Arc::new(Desk::default());
    let mut nothing = new(&desk, asks(1, 0), None);
    assert_eq!(answer(&mut nothing), Some(Vec::new()));
    assert!(next(&desk).is_none(), "there is nothing to send");
}

/// Also if there were one in a bundle: what it left would be everybody's who follows.
#[test]
fn who_has_no_command_gets_no_reply() {
    let mut replies = vec![Reply::Int(1), Reply::Int(2)].into_iter();
    assert_eq!(take(&mut replies, 0).all(), Vec::new());
    assert_eq!(take(&mut replies, 1).all(), vec![Reply::Int(1)]);
    assert_eq!(replies.len(), 1);
}

/// Numbers as good as random, the same each time.
fn mixed(number: u64) -> usize {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) as usize >> 8
}

#[test]
fn nobody_gets_what_another_asked_for() {
    let desk = Arc::new(Desk::default());
    let mut callers: Vec<(i64, usize, Asking)> = Vec::new();
    let mut on_the_way = VecDeque::new();
    let start = Instant::now();
    let (mut answered, mut left, mut late) = (0, 0, 0);
    for step in 0..200_000_u64 {
        let random = mixed(step);
        match random % 8 {
            0..=2 if callers.len() < 300 => {
                let (number, count) = (step.cast_signed(), 1 + random / 8 % 3);
                let until = (random / 32).is_multiple_of(4).then_some(start);
                let caller = asking_until(&desk, asks(number, count), until);
                callers.push((number, count, caller));
            }
            3 if !callers.is_empty() => {
                drop(callers.swap_remove(random / 8 % callers.len()));
                left += 1;
            }
            4 => on_the_way.extend(next(&desk)),
            5 => on_the_way
                .pop_front()
                .into_iter()
                .for_each(|bundle| arrives(&desk, bundle)),
            6 if (random / 8).is_multiple_of(8) => {
                desk.give_up(&mut VecDeque::new());
            }
            _ => callers.retain_mut(|(number, count, caller)| {
                match caller.now_or_never() {
                    None => return true,
                    Some(Err(_)) => late += 1,
                    Some(Ok(replies)) => {
                        assert_eq!(replies.all(), vec![Reply::Int(*number); *count]);
                        answered += 1;
                    }
                }
                false
            }),
        }
    }
    assert!(
        answered > 10_000 && left > 10_000 && late > 1_000,
        "{answered} answered, {left} left, {late} late"
    );
    let places = desk.0.lock().places.len();
    assert!(places < 1_000, "places are used again: {places}");
}

/// Who sends and who asks may be run by different schedulers, of which one could go on for ever: those that were
/// called have to be first all the same.
#[test]
fn who_was_called_runs_before_the_sender_runs_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let (told, calls) = tokio::sync::oneshot::channel::<()>();
    let ran = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let order = std::sync::atomic::Ordering::SeqCst;
    let has_run = Arc::clone(&ran);
    let mut told = Some(told);
    let sender = runtime.spawn(std::future::poll_fn(move |cx| match told.take() {
        Some(told) => {
            told.send(()).expect("it waits");
            sending::come_again(cx);
            Poll::Pending
        }
        None => Poll::Ready(has_run.load(order)),
    }));
    let was_first = tokio::task::LocalSet::new().block_on(&runtime, async move {
        let caller = tokio::task::spawn_local(async move {
            calls.await.expect("it is called");
            ran.store(true, order);
        });
        caller.await.expect("it runs");
        sender.await.expect("it runs")
    });
    assert!(was_first, "the caller has run when the sender comes again");
}
