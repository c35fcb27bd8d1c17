<?php

// One request of a session at a time. The lock ends by itself after a minute; who waits asks every 10 ms.
ini_set('redis.session.locking_enabled', '1');
ini_set('redis.session.lock_expire', '60');
ini_set('redis.session.lock_wait_time', '10000');
ini_set('redis.session.lock_retries', '6000');
