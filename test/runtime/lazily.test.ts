import { expect, test } from 'bun:test'
import { lazily, once } from '../../src/http/on-demand.ts'

test('lazily: a value is created on first use, and kept', () => {
  let times = 0
  const count = once(() => ++times)
  expect(times).toBe(0)
  expect([count(), count(), times]).toEqual([1, 1, 1])
})

test('lazily: a creation that failed is tried again', () => {
  let times = 0
  const make = once(() => {
    if (++times === 1) throw new Error('not yet')
    return times
  })
  expect(make).toThrow('not yet')
  expect([make(), make()]).toEqual([2, 2])
})

test('lazily: each member is created when it is read, also from a copy', () => {
  const made: string[] = []
  const maker = (name: string) => () => {
    made.push(name)
    return { name }
  }
  const members = lazily({ a: maker('a'), b: maker('b'), c: maker('c') })
  expect(Object.keys(members)).toEqual(['a', 'b', 'c'])
  expect(made).toEqual([])
  expect([members.b.name, members.b]).toEqual(['b', members.b])
  expect(made).toEqual(['b'])
  const copy = { ...members }
  expect(copy.b).toBe(members.b)
  expect([copy.a, copy.c]).toEqual([{ name: 'a' }, { name: 'c' }])
  expect(made).toEqual(['b', 'a', 'c'])
})
