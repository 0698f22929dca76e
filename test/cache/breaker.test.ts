import { describe, expect, test } from 'bun:test'
import { Breaker, EndpointBreaker, type RequestEnd } from '../../src/cache/upstream/breaker.ts'

const PAUSE_MS = 5000

describe('breaker:', () => {
  function opened() {
    let now = 0
    const breaker = new Breaker(() => now)
    for (let count = 0; count < 3; count++) breaker.enter()?.failed()
    return { breaker, passed: (ms: number) => (now += ms) }
  }

  test('after the pause exactly one request is let through, and its success closes the breaker', () => {
    const { breaker, passed } = opened()
    expect(breaker.enter()).toBeUndefined()
    passed(PAUSE_MS)
    const trial = breaker.enter()
    expect(trial).toBeDefined()
    expect(breaker.enter()).toBeUndefined()
    trial?.succeeded()
    expect(breaker.enter()).toBeDefined()
    expect(breaker.enter()).toBeDefined()
  })

  test('a failed trial starts a pause that is twice as long', () => {
    const { breaker, passed } = opened()
    passed(PAUSE_MS)
    breaker.enter()?.failed()
    passed(2 * PAUSE_MS - 1)
    expect(breaker.enter()).toBeUndefined()
    passed(1)
    expect(breaker.enter()).toBeDefined()
  })

  test('after a cancelled trial the next request is the only trial', () => {
    const { breaker, passed } = opened()
    passed(PAUSE_MS)
    breaker.enter()?.left()
    expect(breaker.enter()).toBeDefined()
    expect(breaker.enter()).toBeUndefined()
  })

  test('a trial that never ends is replaced, and its late result is ignored', () => {
    const { breaker, passed } = opened()
    passed(PAUSE_MS)
    const abandoned = breaker.enter()
    passed(60_000)
    const trial = breaker.enter()
    expect(trial).toBeDefined()
    abandoned?.succeeded()
    expect(breaker.enter()).toBeUndefined()
    trial?.failed()
    expect(breaker.enter()).toBeUndefined()
  })

  test('results of requests from before it opened neither close it nor prolong the pause', () => {
    let now = 0
    const breaker = new Breaker(() => now)
    const old = Array.from({ length: 10 }, () => breaker.enter())
    for (const request of old.slice(0, 8)) request?.failed()
    old[8]?.succeeded()
    expect(breaker.pauseMs).toBe(PAUSE_MS)
    now += PAUSE_MS
    const trial = breaker.enter()
    old[9]?.left()
    expect(breaker.enter()).toBeUndefined()
    trial?.succeeded()
    expect(breaker.isClosed).toBe(true)
  })
})

describe('breaker of an endpoint:', () => {
  function open() {
    let now = 0
    const breaker = new EndpointBreaker(() => now)
    return {
      breaker,
      passed: (ms: number) => (now += ms),
      send: (repository: string, end: RequestEnd) => breaker.enter(repository)?.(end),
    }
  }

  test.each(['failed', 'silent'] as const)(
    'requests of one repository that end as %s block only it',
    (end) => {
      const { breaker, send } = open()
      for (let count = 0; count < 5; count++) send('a', end)
      expect(breaker.isOpenFor('a')).toBe(true)
      expect(breaker.isOpenFor('b')).toBe(false)
    },
  )

  test('failed connections block all repositories', () => {
    const { breaker, send } = open()
    for (let count = 0; count < 3; count++) send('a', 'unreachable')
    expect(breaker.isOpenFor('b')).toBe(true)
  })

  test('three repositories in a row without a response block all, unless another one gets a response', () => {
    const { breaker, send } = open()
    for (const name of ['a', 'b']) send(name, 'silent')
    send('fine', 'succeeded')
    for (const name of ['c', 'd']) send(name, 'silent')
    expect(breaker.isOpen).toBe(false)
    send('e', 'silent')
    expect(breaker.isOpen).toBe(true)
  })

  test.each(['failed', 'succeeded'] as const)(
    'a trial that ends as %s lets other repositories through',
    (end) => {
      const { breaker, passed, send } = open()
      for (let count = 0; count < 3; count++) send('a', 'unreachable')
      passed(PAUSE_MS)
      send('a', end)
      expect(breaker.isOpenFor('b')).toBe(false)
    },
  )

  test('more repositories with failures than are remembered are forgotten, the oldest first', () => {
    const { breaker, send } = open()
    for (let name = 0; name <= 1000; name++) {
      for (let count = 0; count < 3; count++) send(String(name), 'failed')
    }
    expect(breaker.isOpenFor('0')).toBe(false)
    expect(breaker.isOpenFor('1000')).toBe(true)
  })
})
