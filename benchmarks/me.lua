-- For wrk: reads profiles with the tokens of a file, a line each, in turn; prints what benchmarks.load.Reads holds.

local thread
local requests, position = {}, 0

function setup(it) thread = it end

function init(arguments)
  errors = 0
  for token in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, {["Authorization"] = "Bearer " .. token})
  end
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function response(status)
  if status ~= 200 then errors = errors + 1 end
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('RESULT {"rate": %f, "requests": %d, "p50": %f, "p99": %f, "errors": %d}',
    summary.requests / summary.duration * 1e6, summary.requests, latency:percentile(50) / 1e6,
    latency:percentile(99) / 1e6, failed + thread:get("errors")))
end
