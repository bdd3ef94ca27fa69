-- A script for wrk. It prints the measurements as JSON. With arguments, it sends the requests of a file (see bodies.py),
-- starting with the given number, each once before any is repeated.
local requests, number = {}, 0

function init(args)
   if not args[1] then return end
   local file = assert(io.open(args[1], "rb"))
   while true do
      local length = file:read(8)
      if not length then break end
      requests[#requests + 1] = file:read(tonumber(length))
   end
   file:close()
   number = tonumber(args[2])
   request = function()
      number = number % #requests + 1
      return requests[number]
   end
end

function done(summary, latency)
   local errors = summary.errors
   print(string.format(
      'JSON {"requests": %d, "seconds": %f, "refused": %d, "broken": %d, "p50": %f, "p99": %f}',
      summary.requests, summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
