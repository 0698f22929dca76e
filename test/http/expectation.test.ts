import { expect, test } from 'bun:test'
import { type ExpectedSchema, expectationOf } from '../../src/http/problem.ts'

const CASES: [ExpectedSchema, string | undefined][] = [
  [{ type: 'string', enum: ['name', 'updated', 'size'] }, 'name, updated or size'],
  [{ type: 'string', enum: ['name'] }, 'name'],
  [{ type: 'string' }, 'text'],
  [{ type: 'string', maxLength: 64 }, 'at most 64 characters'],
  [{ type: 'string', minLength: 1 }, 'not empty'],
  [{ type: 'string', minLength: 8 }, 'at least 8 characters'],
  [{ type: 'string', minLength: 8, maxLength: 72, description: 'A secret' }, '8 to 72 characters'],
  [{ type: 'string', pattern: '^a$', description: 'Only the letter a' }, 'only the letter a'],
  [{ type: 'string', pattern: '^A$', description: 'OWNER', maxLength: 9 }, 'OWNER; at most 9 characters'],
  [{ type: 'string', format: 'date-time' }, 'a time such as 2026-01-31T12:00:00Z'],
  [{ type: 'boolean' }, 'true or false'],
  [{ type: 'integer' }, 'a whole number'],
  [{ type: 'integer', minimum: 0 }, 'a whole number of at least 0'],
  [{ type: 'integer', maximum: 5 }, 'a whole number of at most 5'],
  [{ type: 'array' }, 'a list'],
  [{ type: 'array', maxItems: 3 }, 'a list of at most 3'],
  [
    {
      anyOf: [
        { type: 'null' },
        {
          anyOf: [
            { type: 'string', format: 'integer' },
            { type: 'integer', minimum: 1, maximum: 9 },
          ],
        },
      ],
    },
    'null or a whole number from 1 to 9',
  ],
  [{ anyOf: [{ type: 'null' }, { type: 'object' }] }, undefined],
  [{ type: 'object' }, undefined],
]

test.each(CASES)('%j expects %s', (schema, words) => expect(expectationOf(schema)).toBe(words as string))
