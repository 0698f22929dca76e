import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { commonLabels, expiresAfterSeconds, type Labels, labelsOfConfig } from '../../src/oci/image-config.ts'

const encode = (text: string) => new TextEncoder().encode(text)

describe('quay.expires-after', () => {
  test.each<[text: string, seconds: number | undefined]>([
    ['30s', 30],
    ['5m', 300],
    ['2h', 7200],
    ['1d', 86_400],
    ['2w', 1_209_600],
    ['1y', 31_536_000],
    ['100y', 3_153_600_000],
    ['101y', undefined],
    ['999999999999w', undefined],
    ['0d', undefined],
    ['-1d', undefined],
    ['1.5h', undefined],
    ['1', undefined],
    ['d', undefined],
    ['1 d', undefined],
    ['1month', undefined],
    ['1D', undefined],
    ['', undefined],
  ])('%s: %p', (text, seconds) => expect(expiresAfterSeconds({ 'quay.expires-after': text })).toBe(seconds))

  test('that is missing is undefined', () => expect(expiresAfterSeconds({ other: '1d' })).toBeUndefined())
})

describe('the labels of a config', () => {
  test.each<[config: string, labels: Labels]>([
    ['{"config":{"Labels":{"a":"1","__proto__":"2"}}}', JSON.parse('{"a":"1","__proto__":"2"}')],
    ['{"config":{"Labels":{"a":1,"b":"2","c":null}}}', { b: '2' }],
    ['{"config":{"Labels":null}}', {}],
    ['{"config":{"Labels":["a"]}}', {}],
    ['{"config":null,"Labels":{"a":"1"}}', {}],
    ['{"config":{}}', {}],
    ['{}', {}],
    ['null "Labels"', {}],
    ['null', {}],
    ['', {}],
  ])('%s', (config, labels) => expect(labelsOfConfig(encode(config))).toEqual(labels))

  test('are strings for any config', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const labels = labelsOfConfig(encode(JSON.stringify({ config: { Labels: value } })))
        expect(Object.values(labels).filter((one) => typeof one !== 'string')).toEqual([])
      }),
    )
  })
})

test('labels: common labels have the same value everywhere', () => {
  expect(
    commonLabels([
      { a: '1', b: '2', c: '3' },
      { a: '1', b: '3' },
    ]),
  ).toEqual({ a: '1' })
  expect(commonLabels([{ a: '1' }])).toEqual({ a: '1' })
  expect(commonLabels([{ a: '1' }, {}])).toEqual({})
  expect(commonLabels([{ toString: 'x' }, {}])).toEqual({})
  expect(commonLabels([])).toEqual({})
})
