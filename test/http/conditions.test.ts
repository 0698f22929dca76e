import { expect, test } from 'bun:test'
import { conditionOf, isKnown } from '../../src/http/origin.ts'
import { longInputs, millisecondsOf } from '../support/parsing.ts'

const requestWith = (tags: string) =>
  new Request('http://a/', { headers: { 'if-none-match': tags, 'if-match': tags } })

test('conditions: entity tags may be quoted, weak, bare, and surrounded by spaces', () => {
  const request = requestWith('  "a" , W/"b",c ,*')
  expect(['a', 'b', 'c', 'd'].map((tag) => isKnown(request, tag))).toEqual([true, true, true, true])
  expect(isKnown(requestWith(' "a" "b"'), 'a')).toBe(false)
  expect(conditionOf(request)).toEqual({ ifMatch: ['a', 'c', '*'], ifNoneMatch: ['a', 'b', 'c', '*'] })
  expect(conditionOf(request, true)?.ifMatch).toEqual(['a', 'b', 'c', '*'])
})

test('conditions: headers are parsed in linear time', () => {
  for (const text of [...longInputs(15_000), `${' '.repeat(15_000)}x y`, `"${' '.repeat(15_000)}x"y`]) {
    const request = requestWith(`a,${text}`)
    expect(millisecondsOf(() => isKnown(request, 'b'))).toBeLessThan(20)
  }
})
