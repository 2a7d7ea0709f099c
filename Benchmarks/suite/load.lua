-- For wrk: sends the requests of a file. A record is the length of a request in eight digits, and the request as it goes
-- over the wire.
--
--     once FILE     each of them once, as what is signed is accepted once. At their end, so does the load.
--     again FILE    the first one, again and again

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function init(arguments)
  local file = assert(io.open(arguments[2], "rb"))
  file:setvbuf("full", 1048576)

  local function read()
    local length = file:read(8)
    return length and file:read(tonumber(length))
  end

  -- wrk asks for one request before it begins, to see what it is like, and never sends it.
  local first = assert(read(), "no request in the file")
  if arguments[1] == "again" then
    function request() return first end
    return
  end
  is_exhausted = false
  local is_looked_at = false
  function request()
    if not is_looked_at then
      is_looked_at = true
      return first
    end
    local found = read()
    if found then return found end
    is_exhausted = true
    wrk.thread:stop()
    return first
  end
end

function done(summary, latency)
  local is_exhausted = false
  for _, thread in ipairs(threads) do
    is_exhausted = is_exhausted or thread:get("is_exhausted") == true
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "refused": %d, "broken": %d, "is_exhausted": %s}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, tostring(is_exhausted)))
end
