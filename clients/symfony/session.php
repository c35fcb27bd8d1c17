<?php

return [
    'handler_id' => '%env(REDIS_URL)%',
    'gc_maxlifetime' => '%env(int:IDLE_SECONDS)%',
    'cookie_secure' => 'auto',
    'cookie_samesite' => 'lax',
    'storage_factory_id' => 'session.storage.factory.native',
];
