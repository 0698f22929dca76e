import { t } from 'elysia'
import { ERROR_CODES, type ErrorCode, type RegistryError } from '../../oci/error.ts'

/** The Content-Type of a problem (RFC 9457, 3). */
export const PROBLEM_TYPE = 'application/problem+json'

const code = t.UnionEnum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]], { default: undefined })

/** The error format of the JSON APIs (RFC 9457, 3.1). */
export const Problem = t.Object(
  {
    type: t.String({ format: 'uri-reference', description: 'The documentation of this code' }),
    title: t.String({ description: 'What the code means; the same for every occurrence' }),
    status: t.Integer({ minimum: 400, maximum: 599 }),
    detail: t.String({ description: 'What went wrong this time, and what to do about it' }),
    code,
    errors: t.Optional(
      t.Array(t.Object({ code, detail: t.String() }), { description: 'All errors, if there are several' }),
    ),
  },
  {
    description: 'What went wrong, and what to do about it',
    example: {
      type: '/problems/not-found',
      title: ERROR_CODES.NOT_FOUND.message,
      status: 404,
      detail: 'user alice not found',
      code: 'NOT_FOUND',
    },
  },
)

/** Returns the path of a code's documentation. */
export function problemPath(code: ErrorCode): string {
  return `/problems/${code.toLowerCase().replaceAll('_', '-')}`
}

/** Returns the response for an error. HEAD responses have no body. */
export function toProblemResponse({ entries, status, headers }: RegistryError, method: string): Response {
  const init = { status, headers: { ...headers, 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' } }
  if (method === 'HEAD') return new Response(null, init)
  const { message } = entries[0] ?? ERROR_CODES.INTERNAL
  // The distribution-spec has no code for failed conditions.
  const code = status === 412 ? 'PRECONDITION_FAILED' : (entries[0]?.code ?? 'INTERNAL')
  const several = entries.map((entry) => ({ code: entry.code, detail: entry.message }))
  const problem = {
    type: problemPath(code),
    title: ERROR_CODES[code].message,
    status,
    detail: message,
    code,
    ...(several.length > 1 && { errors: several }),
  }
  return new Response(JSON.stringify(problem), init)
}
