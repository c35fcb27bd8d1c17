-- What a script sees: a table of its own with the harmless part of Lua 5.1 and `redis`. The machine is
-- thrown away after the script, so nothing that one leaves behind is found by the next.
local raw, keys, argv = ...
local error, type, tostring, tonumber = error, type, tostring, tonumber
local setmetatable, select = setmetatable, select
local rawpcall, rawxpcall = pcall, xpcall
local over, weigh = raw.over, raw.weigh

local G = { KEYS = keys, ARGV = argv, _VERSION = _VERSION, math = math, string = string, table = table }
for _, name in ipairs {
    "assert", "error", "getmetatable", "ipairs", "next", "pairs", "rawequal", "rawget", "rawset",
    "select", "setmetatable", "tonumber", "tostring", "type", "unpack",
} do
    G[name] = _G[name]
end

-- What is caught is not the end of a script's time: else a script could go on for ever.
local function in_time(...)
    if over() then
        error(raw.too_long, 0)
    end
    return ...
end
-- As Redis: of an error that is a table, its text is what is caught.
local function caught(fine, why, ...)
    if not fine and type(why) == "table" and type(why.err) == "string" then
        return false, why.err
    end
    return fine, why, ...
end
function G.pcall(...)
    return caught(in_time(rawpcall(...)))
end
function G.xpcall(...)
    return in_time(rawxpcall(...))
end

-- What works inside of C is not counted as instructions, so it is weighed before it begins.
local find, match, gmatch, gsub, rep = string.find, string.match, string.gmatch, string.gsub, string.rep
string.dump = nil
function string.find(s, pattern, init, plain)
    weigh(s, pattern, plain and true or false)
    return find(s, pattern, init, plain)
end
function string.match(s, pattern, init)
    weigh(s, pattern, false)
    return match(s, pattern, init)
end
function string.gmatch(s, pattern)
    weigh(s, pattern, false)
    return gmatch(s, pattern)
end
string.gfind = nil
function string.gsub(s, pattern, ...)
    weigh(s, pattern, false)
    return gsub(s, pattern, ...)
end
function string.rep(s, count)
    if s == "" then
        return ""
    end
    return rep(s, count)
end

local redis = { LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3 }
G.redis = redis
function redis.call(...)
    local reply = raw.call(...)
    if type(reply) == "table" and reply.err then
        error(reply, 0)
    end
    return reply
end
redis.pcall = raw.call
redis.log = raw.log
local function one_string(...)
    return select("#", ...) == 1 and type((...)) == "string"
end
local WRONG = { err = "ERR wrong number or type of arguments" }
function redis.error_reply(...)
    if not one_string(...) then
        return WRONG
    end
    local text = gsub((...), "^%-", "")
    return { err = find(text, " ", 1, true) and text or "ERR " .. text }
end
function redis.status_reply(...)
    if not one_string(...) then
        return WRONG
    end
    return { ok = (...) }
end
function redis.sha1hex(...)
    if select("#", ...) ~= 1 then
        error("wrong number of arguments", 0)
    end
    return raw.sha1hex(tostring((...)))
end

local env = setmetatable({}, {
    __index = function(_, name)
        local value = G[name]
        if value == nil then
            local text = "Script attempted to access nonexistent global variable '" .. tostring(name) .. "'"
            error(text, 2)
        end
        return value
    end,
    __newindex = function()
        error("Attempt to modify a readonly table", 2)
    end,
    __metatable = false,
})
G._G = env
return env, rawpcall
