<?php

$redis = parse_url(getenv('REDIS_URL'));
ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "tcp://{$redis['host']}:{$redis['port']}?database=0");

// Ids that PHP did not make are not taken.
ini_set('session.use_strict_mode', '1');
ini_set('session.gc_maxlifetime', getenv('IDLE_SECONDS'));
ini_set('session.cookie_httponly', '1');
ini_set('session.cookie_samesite', 'Lax');
