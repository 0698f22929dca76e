import { expect, test } from 'bun:test'
import { CommandError } from '../../src/cli/failure.ts'
import { parseTimeArgument } from '../../src/cli/input.ts'

const NOW = Date.parse('2026-11-24T12:00:00Z')

test.each([
  ['2026-11-24T11:00:00Z', '2026-11-24T11:00:00.000Z'],
  ['2026-11-24t11:00:00.25z', '2026-11-24T11:00:00.250Z'],
  ['2026-11-24 11:00:00+01:00', '2026-11-24T10:00:00.000Z'],
  ['2h', '2026-11-24T10:00:00.000Z'],
  [' 2h ago ', '2026-11-24T10:00:00.000Z'],
  ['90s', '2026-11-24T11:58:30.000Z'],
  ['1d 12h', '2026-11-23T00:00:00.000Z'],
  ['1h30m', '2026-11-24T10:30:00.000Z'],
  ['2 weeks ago', '2026-11-10T12:00:00.000Z'],
  ['1 day, 1 minute ago', '2026-11-23T11:59:00.000Z'],
])('in the past, %s is %s', (text, time) => {
  expect(new Date(parseTimeArgument(text, NOW, 'past')).toISOString()).toBe(time)
})

test.each([
  ['3 days', '2026-11-27T12:00:00.000Z'],
  ['in 1h', '2026-11-24T13:00:00.000Z'],
  ['2026-12-24T00:00:00Z', '2026-12-24T00:00:00.000Z'],
])('in the future, %s is %s', (text, time) => {
  expect(new Date(parseTimeArgument(text, NOW, 'future')).toISOString()).toBe(time)
})

test.each([
  '',
  'yesterday',
  '2',
  '2x',
  'h',
  '-2h',
  '2h later',
  'in 2h',
  'ago',
  '1.5h',
  '2026-11-24',
  '1e3s',
  '2026-11-24T11:00:00',
  '2026-02-30T00:00:00Z',
  '2026-13-01T00:00:00Z',
  '2026-11-24T25:00:00Z',
  '999999999w',
])('%j is not a time in the past', (text) => {
  expect(() => parseTimeArgument(text, NOW, 'past')).toThrow(CommandError)
  expect(() => parseTimeArgument(text, NOW, 'past')).toThrow(`invalid time "${text}": expected RFC 3339`)
})

test('"2h ago" is not a time in the future', () => {
  expect(() => parseTimeArgument('2h ago', NOW, 'future')).toThrow('such as 12h, or in 3 days')
})

test('long invalid text is refused quickly', () => {
  expect(() => parseTimeArgument('1s '.repeat(20_000).concat('!'), NOW, 'past')).toThrow('invalid time')
})
