import { t } from 'elysia'
import { ERROR_CODES, type ErrorCode, type RegistryError } from '../../oci/error.ts'

/** The Content-Type of a problem (RFC 9457, 3). */
export const PROBLEM_TYPE = 'application/problem+json'

const code = t.UnionEnum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]], { default: undefined })

/** What the JSON surfaces answer when something went wrong (RFC 9457, 3.1). */
export const Problem = t.Object(
  {
    type: t.String({ format: 'uri-reference', description: 'A page that tells of this code' }),
    title: t.String({ description: 'What the code means: the same each time' }),
    status: t.Integer({ minimum: 400, maximum: 599 }),
    detail: t.String({ description: 'What was wrong this time, and what to do' }),
    code,
    errors: t.Optional(
      t.Array(t.Object({ code, detail: t.String() }), {
        description: 'Each thing that was wrong, where there are several',
      }),
    ),
  },
  {
    description: 'What was wrong, and what to do',
    example: {
      type: '/problems/not-found',
      title: ERROR_CODES.NOT_FOUND.message,
      status: 404,
      detail: 'there is no user alice',
      code: 'NOT_FOUND',
    },
  },
)

/** The page of a code, relative to the server. */
export function problemPath(code: ErrorCode): string {
  return `/problems/${code.toLowerCase().replaceAll('_', '-')}`
}

/** The answer for an error; HEAD answers have no body. */
export function toProblemResponse({ entries, status, headers }: RegistryError, method: string): Response {
  const init = { status, headers: { ...headers, 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' } }
  if (method === 'HEAD') return new Response(null, init)
  const { message } = entries[0] ?? ERROR_CODES.INTERNAL
  // Of the distribution-spec's codes none is for conditions.
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
