import { Elysia, t } from 'elysia'
import { ERROR_CODES, type ErrorCode, registryError } from '../oci/error.ts'
import { Problem, problemPath } from './problem.ts'

const { type, title, status, code } = Problem.properties

const Code = t.Object({ type, title, status, code }, { description: 'An error code' })

const codes = (Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => {
  const known = ERROR_CODES[code]
  return { type: problemPath(code), title: known.message, status: known.status, code }
})

/** GET /problems and /problems/:code: every error code. A problem's `type` points here (RFC 9457, 3.1.1). */
export function problems() {
  return new Elysia({ name: 'problems', prefix: '/problems', tags: ['problems'] })
    .get('', () => ({ items: codes }), {
      response: { 200: t.Object({ items: t.Array(Code) }, { description: 'All error codes' }) },
      detail: { summary: 'List error codes', operationId: 'listProblems', security: [{}] },
    })
    .get(
      '/:code',
      ({ params: { code } }) => codes.find(({ type }) => type.endsWith(`/${code}`)) ?? unknown(),
      {
        params: t.Object({ code: t.String({ maxLength: 64, example: 'not-found' }) }),
        response: { 200: Code },
        detail: { summary: 'Show an error code', operationId: 'getProblem', security: [{}] },
      },
    )
}

function unknown(): never {
  throw registryError('NOT_FOUND', 'no such error code')
}
