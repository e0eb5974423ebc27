import {
  ABANDONED_MS,
  ANY_PACE,
  BUDGET,
  CLOCK_ERROR_MS,
  DECREASE,
  DOUBTFUL_MS,
  DOUBT_EVERY_MS,
  FARTHEST_RESET_MS,
  FIRST_FEW,
  FOUND_STEPS,
  HIGHEST_BUDGET,
  HIGHEST_LIMIT,
  IDLE_MS,
  JITTER_MS,
  LONGEST_CLOSURE_MS,
  PROBE_PATIENCE_MS,
  QUIET_MS,
  SAME_WINDOW_MS,
  SHORTEST_CLOSURE_MS,
  SHORTEST_STEP_MS,
  STAMP_ERROR_MS,
  UNORDERED_MS,
  WORTH_TRYING_MS,
} from '../rate-gate/constants.ts';

/** What nobody has asked for in this time is forgotten. */
const EXPIRY_MS = 600_000;
/** Who has asked within this time shares the windows. */
const PEER_MS = 60_000;

/**
 * One step of the store, for Redis 5 and above: `rate-gate/policy.ts` and its parts in Lua, function
 * by function, as only a script is atomic. A test runs both side by side. `KEYS`: what is known of
 * the API key, then of the bucket. `ARGV` and the reply: as in `wire-format.ts`.
 */
export const SCRIPT = `
local SERVED, REFUSED, BLOCKED, FAILED, GONE, UNSENT = 0, 1, 2, 3, 4, 5
local REQUEST_LIMIT, TOKEN_LIMIT, UNKNOWN, WAS_REFUSED, FAILURES, BLOCK = 1, 2, 3, 4, 5, 6

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local want = tonumber(ARGV[1])
local budgetWindow = tonumber(ARGV[2])
local name = KEYS[2]

local function load(id)
  local packed = redis.call('GET', id)
  if packed then return cmsgpack.unpack(packed) end
end

local function newWindow()
  return {
    limit = 0, used = 0, openedAt = 0, resetAt = 0, startAt = 0, span = 0, isSpanProven = false,
    isStampEarliest = false, edgeSeq = 0, late = 0, length = 0, cost = 1, toldUsed = 0, toldSeq = 0
  }
end

local key = load(KEYS[1]) or {
  budget = ${BUDGET}, failures = {}, young = {}, unproven = 0, unprovenAt = 0, blockedAt = 0,
  blockedUntil = 0, probeAt = 0, peers = {}
}
local bucket = load(KEYS[2]) or {
  bornAt = now, seq = 0, grantedAt = now, calmSeq = 0, open = 0, isProven = false, pace = ${FIRST_FEW},
  refusals = 0, refusedAt = 0, closedUntil = 0, requests = newWindow(), tokens = newWindow(),
  found = {
    limit = 0, startAt = 0, used = 0, served = 0, span = 0, low = 0, isShut = false,
    wasRefused = false, opensAt = 0
  },
  probeSeq = 0, probeAt = 0, probedAt = 0
}
local requests, tokens, found = bucket.requests, bucket.tokens, bucket.found

-- failure-budget.ts

local function forgetOld()
  while key.failures[1] and key.failures[1] <= now - budgetWindow do table.remove(key.failures, 1) end
  while key.young[1] and key.young[1][2] <= now - ${QUIET_MS} do table.remove(key.young, 1) end
  if now - key.unprovenAt > ${ABANDONED_MS} then key.unproven = 0 end
end

local function noteFailure(at)
  table.insert(key.failures, at)
  if key.blockedAt > 0 then key.blockedUntil = at + budgetWindow end
end

local function noteBlock(at, budget)
  key.blockedAt = at
  key.blockedUntil = at + budgetWindow
  key.probeAt = 0
  if budget > key.budget then key.budget = math.min(budget, ${HIGHEST_BUDGET}) end
end

local function noteOver(sentAt)
  if key.blockedAt == 0 or sentAt <= key.blockedAt then return end
  key.blockedAt = 0
  key.blockedUntil = 0
  key.probeAt = 0
  key.failures = {}
end

local function settle(seq)
  for i, each in ipairs(key.young) do
    if each[1] == seq and each[3] == name then
      table.remove(key.young, i)
      return
    end
  end
end

local function failuresLeft()
  return math.max(1, key.budget) - #key.failures - #key.young
end

local function unprovenLeft()
  return math.max(1, key.budget) - #key.failures - key.unproven
end

local function untilMoreLeft()
  local byFailure = (key.failures[1] or now + budgetWindow) + budgetWindow - now
  local byQuiet = (key.young[1] and key.young[1][2] or now + budgetWindow) + ${QUIET_MS} - now
  return math.max(1, math.min(byFailure, byQuiet))
end

local function blockedForMs()
  if key.blockedAt == 0 then return 0 end
  if now < key.blockedUntil then return key.blockedUntil - now end
  if key.probeAt == 0 then return 0 end
  return math.max(0, key.probeAt + ${PROBE_PATIENCE_MS} - now)
end

-- window.ts

local function sane(value, highest)
  if value > 0 and value <= highest then return math.floor(value) end
  return 0
end

local function stampOf(told, answeredAt)
  local resetMs = told.resetMs
  local isSane = resetMs and resetMs > -${CLOCK_ERROR_MS} and resetMs <= ${FARTHEST_RESET_MS}
  return isSane and answeredAt + resetMs or 0
end

local function forgetWrongSpan(window)
  if window.startAt == 0 or window.span == 0 then return end
  local told = window.resetAt - window.startAt
  if math.abs(told - window.span) <= ${STAMP_ERROR_MS + JITTER_MS} then return end
  window.span = 0
  window.isSpanProven = false
  window.isStampEarliest = false
end

local function isSameEnd(window, stamp)
  return stamp > 0 and window.resetAt > 0
    and math.abs(stamp - window.resetAt) < ${SAME_WINDOW_MS}
end

local function learnFromPast(window, told, granted, answeredAt)
  local length = told.resetMs and answeredAt + told.resetMs - granted.at or 0
  if length <= 0 then return end
  window.length = math.max(window.length, length)
  if window.openedAt == 0 and window.resetAt == 0 then window.openedAt = answeredAt end
end

local function learn(window, told, granted, answeredAt, countsRequests)
  local left = sane(told.remaining, ${HIGHEST_LIMIT})
  local limit = sane(told.limit, ${HIGHEST_LIMIT})
  if limit == 0 then limit = math.max(window.limit, left, 1) end
  local remaining = math.min(limit, left)
  local used = limit - remaining
  local stamp = stampOf(told, answeredAt)
  local openedAt, resetAt = window.openedAt, window.resetAt
  local isSame = isSameEnd(window, stamp)
  if stamp == 0 and granted.seq > 0 then learnFromPast(window, told, granted, answeredAt) end
  local isEarlier = stamp > 0 and stamp <= resetAt - ${SAME_WINDOW_MS}
  if (granted.at < openedAt and stamp <= openedAt + ${STAMP_ERROR_MS})
    or (isEarlier and stamp <= answeredAt + ${STAMP_ERROR_MS}) then
    if granted.seq < window.toldSeq then return end
    window.limit = limit
    window.toldSeq = granted.seq
    return
  end
  local isFirst = countsRequests and granted.seq > 0 and remaining == limit - 1
  if granted.seq < window.toldSeq then
    if not isSame or limit ~= window.limit then return end
    window.used = math.max(window.used, used)
    if isFirst then window.startAt = granted.at end
    return
  end
  if countsRequests then
    local isWithin = granted.at < resetAt - ${STAMP_ERROR_MS}
    local isCounted = isSame or isEarlier or isWithin or (resetAt == 0 and openedAt > 0)
    local since = granted.lastSeq - window.toldSeq
    local counted = isCounted and window.used or math.min(window.used, since)
    local atMost = used + granted.lastSeq - granted.seq
    window.used = math.max(used, granted.isCalm and math.min(counted, atMost) or counted)
    if isFirst then window.startAt = granted.at
    elseif not isSame then window.startAt = 0 end
  else
    if isSame and granted.seq > window.toldSeq then
      local sample = (used - window.toldUsed) / (granted.seq - window.toldSeq)
      if sample > 0 then window.cost = window.cost + 0.3 * (sample - window.cost) end
    end
    window.used = used + (granted.lastSeq - granted.seq) * window.cost
  end
  window.limit = limit
  window.toldUsed = used
  window.toldSeq = granted.seq
  if stamp == 0 then return end
  local resetMs = stamp - granted.at
  window.length = math.max(resetMs, isSame and window.length or 0.8 * window.length)
  window.resetAt = stamp
  if not isSame then window.edgeSeq = 0 end
  forgetWrongSpan(window)
end

local function isUsedUp(window)
  if window.limit == 0 then return false end
  return window.used + math.min(window.cost, window.limit) > window.limit
end

local function hasNothingLeft(window)
  return window.limit > 0 and window.used >= window.limit
end

local function opensAt(window)
  if window.resetAt == 0 then
    if window.openedAt > 0 and window.length > 0 then
      return window.openedAt + window.length + ${STAMP_ERROR_MS}
    end
    return 0
  end
  if window.startAt == 0 or window.span == 0 then return window.resetAt + window.late end
  local errorMs = window.isSpanProven and ${CLOCK_ERROR_MS} or ${STAMP_ERROR_MS}
  return math.min(
    window.startAt + window.span + ${JITTER_MS} + window.late,
    window.resetAt + errorMs
  )
end

local function isOverAt(window)
  return window.resetAt == 0 and 0 or window.resetAt + ${CLOCK_ERROR_MS}
end

local function turn(window, used, at)
  window.used = used
  window.openedAt = at
  window.resetAt = 0
  window.startAt = 0
  window.edgeSeq = 0
end

local function probeSucceeded(window)
  window.late = math.floor(window.late * 0.9)
  if window.startAt == 0 or window.resetAt == 0 then return end
  if window.span > 0 then
    window.isSpanProven = true
    return
  end
  local shorter = math.floor((window.resetAt - window.startAt) / 1000) * 1000
  local gain = window.resetAt - (window.startAt + shorter + ${JITTER_MS})
  if not window.isStampEarliest and shorter > 0 and gain > ${WORTH_TRYING_MS} then
    window.span = shorter
  end
end

local function probeFailed(window, sentAt, stamp)
  if stamp > 0 and math.abs(stamp - window.resetAt) >= ${SAME_WINDOW_MS} then return end
  local wasTrial = window.startAt > 0 and window.span > 0
  if wasTrial and window.isSpanProven then
    window.late = math.min(${STAMP_ERROR_MS}, window.late + ${2 * JITTER_MS})
    return
  end
  window.span = 0
  if wasTrial and sentAt < window.resetAt then
    window.isStampEarliest = true
    return
  end
  local longer = math.ceil((window.resetAt - window.startAt) / 1000) * 1000
  local isLater = window.startAt + longer + ${JITTER_MS} > sentAt
  if window.startAt > 0 and isLater and not wasTrial then window.span = longer
  else window.late = math.min(${CLOCK_ERROR_MS}, window.late + ${STAMP_ERROR_MS}) end
end

-- found-limit.ts

local function advance()
  if found.isShut or found.limit == 0 or found.span == 0 then return end
  local endsAt = found.startAt + found.span
  if found.used >= found.limit then
    found.isShut = true
    found.wasRefused = false
    found.low = 0
    found.opensAt = endsAt
  elseif now >= endsAt then
    found.startAt = now
    found.used = 0
    found.served = 0
  end
end

local function noteGrant()
  if found.startAt == 0 then found.startAt = now end
  found.used = found.used + 1
end

local function noteServed(isProbe, sentAt, sentBehind)
  if not found.isShut or not isProbe then
    found.served = found.served + 1
    return
  end
  if not found.wasRefused then found.limit = found.limit + 1 end
  found.span = sentAt - found.startAt
  found.startAt = sentAt
  found.used = sentBehind + 1
  found.served = 1
  found.isShut = false
  found.low = 0
end

local function noteRefused(isProbe, sentAt, sentBehind, closedUntil)
  if not found.isShut then
    local accepted = math.max(found.served, found.used - sentBehind - 1)
    found.limit = math.max(1, math.floor(${DECREASE} * accepted))
    found.isShut = true
    found.low = 0
    found.opensAt = found.span == 0 and closedUntil or found.startAt + found.span
  elseif isProbe then
    found.low = math.max(found.low, sentAt - found.startAt)
    local open = found.span > found.low and found.span - found.low or found.low
    local step = math.max(${SHORTEST_STEP_MS}, open / ${FOUND_STEPS})
    found.opensAt = found.span == 0 and closedUntil
      or math.floor(found.startAt + found.low + step + 0.5)
  end
  found.wasRefused = true
end

-- policy.ts

local function closeUnproven(count)
  local closed = math.min(count, bucket.open)
  bucket.open = bucket.open - closed
  key.unproven = math.max(0, key.unproven - closed)
end

local function endProbe(report, answeredAt)
  for i, window in ipairs({ requests, tokens }) do
    local told = i == 1 and report.requests or i == 2 and report.tokens or nil
    local stamp = told and stampOf(told, answeredAt) or 0
    if hasNothingLeft(window) then
      if report.outcome ~= REFUSED then
        if not isSameEnd(window, stamp) then
          if report.outcome == SERVED and not told and i == 2 then window.limit = 0 end
          probeSucceeded(window)
          turn(window, (bucket.seq - report.seq + 1) * window.cost, report.at)
        end
      elseif told and told.remaining == 0 then
        probeFailed(window, report.at, stamp)
        if window.edgeSeq > 0 then window.edgeSeq = window.edgeSeq + 1 end
      end
    end
  end
end

local function learnWindows(report, seq, sentAt, answeredAt)
  local granted = {
    seq = seq, at = sentAt, lastSeq = seq == 0 and 0 or bucket.seq,
    isCalm = seq > 0 and seq == bucket.calmSeq
  }
  if report.requests then
    if requests.limit == 0 then bucket.pace = ${ANY_PACE} end
    learn(requests, report.requests, granted, answeredAt, true)
  end
  if report.tokens then learn(tokens, report.tokens, granted, answeredAt, false) end
end

local function closeWhileStampLies()
  bucket.refusals = bucket.refusals + 1
  if hasNothingLeft(requests) and opensAt(requests) > now then return end
  if hasNothingLeft(tokens) and opensAt(tokens) > now then return end
  local growth = 2 ^ math.min(bucket.refusals - 1, 10)
  local closureMs = math.min(${LONGEST_CLOSURE_MS}, 1000 * growth)
  bucket.closedUntil = math.max(bucket.closedUntil, now + closureMs)
end

local function closureAfter(report)
  if report.attempt == 0 then return report.backoffMs end
  local growth = 2 ^ math.min(30, math.max(0, bucket.refusals - report.attempt))
  local closureMs = math.min(${LONGEST_CLOSURE_MS}, math.floor(report.backoffMs * growth + 0.5))
  if requests.limit > 0 or found.span > 0 then return closureMs end
  local elapsed = math.floor((now - found.startAt) / ${FOUND_STEPS} + 0.5)
  return math.min(closureMs, math.max(${SHORTEST_CLOSURE_MS}, elapsed))
end

local function noteUnexplained(report, seq, sentAt, isProbe)
  if sentAt > bucket.refusedAt then
    bucket.refusals = bucket.refusals + 1
    bucket.refusedAt = now
    local young = 0
    for _, each in ipairs(key.young) do
      if each[3] == name then young = young + 1 end
    end
    bucket.pace = math.max(1, math.floor(math.min(bucket.pace, young + 1) / 2))
  end
  bucket.closedUntil = math.max(bucket.closedUntil, now + closureAfter(report))
  if requests.limit == 0 then
    noteRefused(isProbe, sentAt, math.max(0, bucket.seq - seq), bucket.closedUntil)
  end
end

local function noteServedIn(isProbe, seq, sentAt)
  bucket.isProven = true
  bucket.refusals = 0
  local isTold = requests.limit > 0
  bucket.pace = math.min(${ANY_PACE}, bucket.pace + (isTold and 1 or 1 / bucket.pace))
  if not isTold then noteServed(isProbe, sentAt, math.max(0, bucket.seq - seq)) end
end

local function isExhausted(report)
  return (report.requests and report.requests.remaining == 0)
    or (report.tokens and report.tokens.remaining == 0)
end

local function learnFrom(report)
  local isOurs = report.seq > 0 and report.seq <= bucket.seq and report.at >= bucket.bornAt
  local seq = isOurs and report.seq or 0
  local answeredAt = now - report.ageMs
  local sentAt = isOurs and report.at or answeredAt
  if isOurs then
    settle(seq)
    closeUnproven(1)
  end
  local isProbe = seq > 0 and seq == bucket.probeSeq
  if isProbe then bucket.probeSeq = 0 end

  local outcome = report.outcome
  if outcome == GONE then return end
  if outcome == UNSENT then
    requests.used = math.max(0, requests.used - 1)
    found.used = math.max(0, found.used - 1)
    return
  end
  if outcome == BLOCKED then noteBlock(answeredAt, report.budget)
  elseif isOurs or outcome == SERVED then noteOver(sentAt) end
  if outcome ~= SERVED then noteFailure(answeredAt) end
  if outcome == BLOCKED then return end

  if isProbe then endProbe(report, answeredAt) end
  learnWindows(report, seq, sentAt, answeredAt)
  if outcome == REFUSED then
    if isExhausted(report) then closeWhileStampLies()
    else noteUnexplained(report, seq, sentAt, isProbe) end
  elseif outcome == SERVED then
    closeUnproven(bucket.open)
    noteServedIn(isProbe, seq, sentAt)
  end
end

-- An obstacle is its reason, when it is over, when to look again; -1: not known.

local function silentProbe(window, reason)
  if bucket.probeSeq == 0 then return end
  local overAt = isOverAt(window)
  local quietMs = bucket.probeAt + ${QUIET_MS} - now
  local certainMs = overAt > 0 and overAt - now or quietMs
  if quietMs > 0 then return reason, -1, math.min(quietMs, certainMs) end
  if opensAt(window) > 0 then
    local before = window.edgeSeq > 0 and window.edgeSeq or bucket.probeSeq - 1
    turn(window, (bucket.seq - before) * window.cost, bucket.probeAt)
  end
  bucket.probeSeq = 0
end

local function passEnd(window)
  if window.resetAt == 0 or now < window.resetAt - ${STAMP_ERROR_MS} then return end
  if window.edgeSeq == 0 then window.edgeSeq = bucket.seq end
  if now < isOverAt(window) then return end
  local isTried = bucket.probeSeq > 0 and bucket.probeAt >= opensAt(window)
  local since = bucket.seq - window.edgeSeq
  turn(window, since * window.cost, isTried and bucket.probeAt or now)
  if isTried then bucket.probeSeq = 0 end
end

local function windowObstacle(window, reason)
  passEnd(window)
  local isFull
  if reason == REQUEST_LIMIT then isFull = isUsedUp(window) else isFull = hasNothingLeft(window) end
  if not isFull then return end
  local opens = opensAt(window)
  if opens == 0 then
    local quietMs = bucket.grantedAt + ${QUIET_MS} - now
    if quietMs > 0 then return reason, -1, quietMs end
  end
  if now < opens then
    local untilMs = opens - now
    local untilDoubtMs = bucket.probedAt + ${DOUBT_EVERY_MS} - now
    local isDoubtful = untilMs > ${DOUBTFUL_MS} and bucket.isProven
    if isDoubtful and untilDoubtMs <= 0 then return end
    return reason, untilMs, isDoubtful and math.min(untilMs, untilDoubtMs) or untilMs
  end
  if bucket.probeAt < opens then bucket.probeSeq = 0 end
  return silentProbe(window, reason)
end

local function foundObstacle()
  if requests.limit > 0 then return end
  advance()
  if not found.isShut then return end
  local untilMs = found.opensAt - now
  if untilMs > 0 then return REQUEST_LIMIT, untilMs, untilMs end
  if bucket.probeSeq == 0 then return end
  local quietMs = bucket.probeAt + ${QUIET_MS} - now
  if quietMs > 0 then return REQUEST_LIMIT, -1, quietMs end
  noteServed(true, bucket.probeAt, bucket.seq - bucket.probeSeq)
  bucket.probeSeq = 0
end

local function openingObstacle()
  if not bucket.isProven and unprovenLeft() < 1 then return UNKNOWN, -1, ${QUIET_MS} end
  local young, oldestAt = 0, now
  for _, each in ipairs(key.young) do
    if each[3] == name then
      if young == 0 then oldestAt = each[2] end
      young = young + 1
    end
  end
  if young < bucket.pace then return end
  return UNKNOWN, -1, math.max(1, oldestAt + ${QUIET_MS} - now)
end

local function obstacle()
  local blockedMs = blockedForMs()
  if blockedMs > 0 then
    return BLOCK, now < key.blockedUntil and blockedMs or -1, blockedMs
  end
  if failuresLeft() < 1 then
    local untilMs = untilMoreLeft()
    return FAILURES, #key.young == 0 and untilMs or -1, untilMs
  end
  if now < bucket.closedUntil then
    local untilMs = bucket.closedUntil - now
    return WAS_REFUSED, untilMs, untilMs
  end
  local reason, opensMs, askAgainMs = windowObstacle(requests, REQUEST_LIMIT)
  if reason then return reason, opensMs, askAgainMs end
  reason, opensMs, askAgainMs = windowObstacle(tokens, TOKEN_LIMIT)
  if reason then return reason, opensMs, askAgainMs end
  reason, opensMs, askAgainMs = foundObstacle()
  if reason then return reason, opensMs, askAgainMs end
  return openingObstacle()
end

local function grant()
  bucket.seq = bucket.seq + 1
  if now - bucket.grantedAt >= ${UNORDERED_MS} then bucket.calmSeq = bucket.seq end
  bucket.grantedAt = now
  if not bucket.isProven then
    bucket.open = bucket.open + 1
    key.unproven = key.unproven + 1
    key.unprovenAt = now
  end
  table.insert(key.young, { bucket.seq, now, name })
  if key.blockedAt > 0 then key.probeAt = now end
  if isUsedUp(requests) or hasNothingLeft(tokens) or (requests.limit == 0 and found.isShut) then
    bucket.probeSeq = bucket.seq
    bucket.probeAt = now
    bucket.probedAt = now
  end
  requests.used = requests.used + 1
  tokens.used = tokens.used + tokens.cost
  noteGrant()
end

local function toldAt(at)
  local limit = tonumber(ARGV[at])
  if limit < 0 then return nil end
  return { limit = limit, remaining = tonumber(ARGV[at + 1]), resetMs = tonumber(ARGV[at + 2]) }
end

local function countPeers()
  local count = 0
  key.peers[ARGV[3]] = now
  for id, seenAt in pairs(key.peers) do
    if seenAt < now - ${PEER_MS} then key.peers[id] = nil else count = count + 1 end
  end
  return count
end

forgetOld()
for at = 4, #ARGV, 13 do
  learnFrom({
    seq = tonumber(ARGV[at]),
    at = tonumber(ARGV[at + 1]),
    outcome = tonumber(ARGV[at + 2]),
    attempt = tonumber(ARGV[at + 3]),
    backoffMs = math.max(0, tonumber(ARGV[at + 4])),
    budget = tonumber(ARGV[at + 5]),
    ageMs = tonumber(ARGV[at + 6]),
    requests = toldAt(at + 7),
    tokens = toldAt(at + 10)
  })
end

local firstSeq = bucket.seq + 1
local reason, opensMs, askAgainMs
while bucket.seq - firstSeq + 1 < want do
  reason, opensMs, askAgainMs = obstacle()
  if reason then break end
  grant()
end

local peers = countPeers()
redis.call('SET', KEYS[1], cmsgpack.pack(key), 'PX', ${EXPIRY_MS})
redis.call('SET', KEYS[2], cmsgpack.pack(bucket), 'PX', ${EXPIRY_MS})
return {
  bucket.seq - firstSeq + 1,
  firstSeq,
  now,
  math.ceil(askAgainMs or ${IDLE_MS}),
  reason or 0,
  math.ceil(opensMs or -1),
  requests.limit > 0 and requests.limit or found.limit,
  math.ceil(requests.limit > 0 and requests.length or found.span),
  peers
}
`;
