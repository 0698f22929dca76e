import { describe, expect, test } from 'bun:test'
import { printAnswer } from '../../src/cli/answer.ts'
import type { AdminClient } from '../../src/cli/client.ts'
import {
  field,
  formatBytes,
  formatCount,
  formatKeptDays,
  formatRelativeTime,
  formatTags,
  formatText,
  formatTime,
  jsonText,
  render,
  type Terminal,
} from '../../src/cli/output.ts'
import { TableWriter } from '../../src/cli/table.ts'

const NOW = Date.parse('2026-11-24T12:00:00Z')

/** Returns a terminal that records what is written. */
function memoryTerminal(more: Partial<Terminal> = {}): Terminal & { text: string } {
  const terminal = {
    text: '',
    isForPeople: false,
    hasColours: false,
    hasBar: false,
    canAsk: false,
    now: () => NOW,
    write: async (text: string | Uint8Array) => {
      terminal.text += typeof text === 'string' ? text : Buffer.from(text).toString()
    },
    note: () => {},
    status: () => {},
    ...more,
  }
  return terminal
}

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1_048_575, '1.0 MiB'],
  [1_288_490_189, '1.2 GiB'],
  [5 * 2 ** 50, '5.0 PiB'],
  [2 ** 70, '1048576.0 PiB'],
])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text))

test('a digest in the name of a tag is shortened on a terminal only', () => {
  const names = ['1.0', `sha256-${'a1'.repeat(32)}.sig`, `sha256-${'b2'.repeat(32)}`]
  expect(formatTags(names, memoryTerminal())).toBe(names.join(', '))
  expect(formatTags(names, memoryTerminal({ isForPeople: true }))).toBe(
    '1.0, sha256-a1a1a1a1a1a1….sig, sha256-b2b2b2b2b2b2…',
  )
})

test.each([
  [0, 'kept'],
  [1, 'kept for 1 day'],
  [1000, 'kept for 1,000 days'],
])('%d days: %s', (days, text) => expect(formatKeptDays(days)).toBe(text))

test('counts have thousands separators', () => expect(formatCount(1234567)).toBe('1,234,567'))

describe('a time', () => {
  test.each([
    ['2026-11-24T11:59:59.5Z', 'now'],
    ['2026-11-24T11:58:59Z', '1 minute ago'],
    ['2026-11-24T02:00:00Z', '10 hours ago'],
    ['2026-12-08T12:00:00Z', 'in 14 days'],
    ['2026-12-08T11:59:59.5Z', 'in 14 days'],
    ['2020-01-01T00:00:00Z', '6 years ago'],
  ])('on a terminal %s is %s', (time, text) => {
    expect(formatTime(time, memoryTerminal({ isForPeople: true }))).toBe(text)
  })

  test('is RFC 3339 without a terminal', () => {
    expect(formatTime('2026-11-24T12:00:00+01:00', memoryTerminal())).toBe('2026-11-24T11:00:00.000Z')
    expect(formatRelativeTime('2026-11-24T12:00:00+01:00', memoryTerminal())).toBe('2026-11-24T11:00:00.000Z')
  })

  test('that is the zero time of Go is left empty', () => {
    for (const isForPeople of [false, true]) {
      expect(formatTime('0001-01-01T00:00:00Z', memoryTerminal({ isForPeople }))).toBe('')
      expect(formatRelativeTime('0001-01-01T00:00:00Z', memoryTerminal({ isForPeople }))).toBe('')
    }
  })

  test('in a card is also shown as local time', () => {
    expect(formatRelativeTime('2026-11-24T11:00:00Z', memoryTerminal({ isForPeople: true }))).toMatch(
      /^2026-11-2\d \d\d:\d\d:00 [+-]\d\d:\d\d \(1 hour ago\)$/,
    )
  })
})

test('text of others cannot change the terminal or the direction of a line', () => {
  expect(formatText('a\x1b[31mb\nc\x07\u009b')).toBe('a [31mb c ')
  expect(formatText('a\u202eb\u2066c\u2028d')).toBe('a b c d')
  expect(jsonText({ 'k\u009b': 'v\x1b\x7f大' })).toBe('{\n  "k\\u009b": "v\\u001b\\u007f大"\n}')
  expect(jsonText(undefined)).toBe('')
})

test('a manifest is printed byte for byte; on a terminal control characters are escaped', async () => {
  const json = '\ufeff{"a":"\u009b2J大"}\n'
  const print = async (isForPeople: boolean) => {
    const terminal = memoryTerminal({ isForPeople })
    await printAnswer({ bytes: new Response(json) }, {} as AdminClient, terminal, { asJson: false })
    return terminal.text
  }
  expect(await print(false)).toBe(json)
  expect(await print(true)).toBe('\ufeff{"a":"\\u009b2J大"}\n')
  expect(formatText({ 'k\x1b': ['v\x1b', 1] })).toBe('k =v , 1')
})

test('a field is found by its path, and an absent field is left empty', () => {
  const answer = { usage: { pulls: 3 }, none: null }
  expect(render(field('Pulls', 'usage.pulls'), answer, memoryTerminal())).toBe('3')
  for (const path of ['usage.pushes', 'none', 'none.x', 'x.y']) {
    expect(render(field('X', path), answer, memoryTerminal())).toBe('')
  }
})

describe('a table', () => {
  const columns = [field('name', 'name'), field('size', 'size', formatBytes)]

  test('is aligned, with one header, also when later rows are wider', async () => {
    const terminal = memoryTerminal()
    const table = new TableWriter(columns, terminal)
    await table.write([{ name: 'a', size: 1 }, { name: '大きい' }])
    await table.write([{ name: 'much-longer', size: 2048 }])
    expect(terminal.text).toBe('NAME     SIZE\na        1 B\n大きい\nmuch-longer   2.0 KiB\n')
  })

  test('has colours only if the terminal does', async () => {
    const terminal = memoryTerminal({ isForPeople: true, hasColours: true })
    await new TableWriter(columns, terminal).write([{ name: 'a', size: 1 }])
    expect(terminal.text).toBe('\x1b[1mNAME\x1b[0m   \x1b[1mSIZE\x1b[0m\na      1 B\n')
  })

  test('of 20,000 entries takes linear time', async () => {
    const terminal = memoryTerminal()
    await new TableWriter(columns, terminal).write(
      Array.from({ length: 20_000 }, (_, size) => ({ name: `n${size}`, size })),
    )
    expect(terminal.text.split('\n')).toHaveLength(20_002)
  })
})
