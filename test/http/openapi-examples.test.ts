import { expect, test } from 'bun:test'
import type { OpenAPIV3 } from 'openapi-types'
import { startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, named } from '../support/content.ts'
import { documentOf } from '../support/described.ts'
import { pushImage } from '../support/push.ts'

/** The order in which the requests are sent: first what reads, last what deletes. */
const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete'] as const

/** Requests that no fixed example makes valid. */
const REFUSED = [
  // The time must be within the last 14 days.
  'POST /api/v1/repositories/{repository}/rewind',
  // In this protocol, 400 also means that the password is correct.
  'POST /v1/users/',
  // The bodies are content, which the document does not describe.
  'PUT /v2/{name}/blobs/uploads/{id}',
  'PUT /v2/{name}/manifests/{reference}',
]

test('openapi: what a page sends for a fresh form is a valid request, for every operation', async () => {
  await using server = await startWithAccounts()
  await server.addUser('alice')
  await server.admin('PUT', '/robots/alice%2Bci')
  await server.admin('PUT', '/groups/team')
  await server.grant('anonymous', '**', 'writer')
  await pushImage(server, 'library/alpine', imageManifest(EMPTY, [named('layer')]), [named('layer')], {
    reference: 'latest',
  })
  const document = await documentOf(server.url)
  const { secret } = await server.addToken('admin')
  const refused: string[] = []
  for (const method of METHODS) {
    for (const [template, item] of Object.entries(document.paths)) {
      const operation = item?.[method as OpenAPIV3.HttpMethods]
      if (operation === undefined) continue
      const parameters = [...(item?.parameters ?? []), ...(operation.parameters ?? [])]
      const request = requestOf(template, operation, parameters as OpenAPIV3.ParameterObject[])
      const headers = { authorization: `Bearer ${secret}`, ...request.headers }
      const { status } = await server.fetch(request.path, {
        ...request,
        method: method.toUpperCase(),
        headers,
      })
      if ([400, 415, 422].includes(status)) refused.push(`${method.toUpperCase()} ${template}`)
    }
  }
  expect(refused.sort()).toEqual(REFUSED)
})

/** Returns the request that the examples of an operation make. */
function requestOf(
  template: string,
  { requestBody }: OpenAPIV3.OperationObject,
  parameters: OpenAPIV3.ParameterObject[],
) {
  const given = parameters.filter(({ example }) => example !== undefined)
  const query = new URLSearchParams(
    given
      .filter((one) => one.in === 'query')
      .map(({ name, example }): [string, string] => [name, String(example)]),
  )
  const isV2 = template.startsWith('/v2') || template.startsWith('/v1')
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name) => {
    const { example } = given.find((one) => one.in === 'path' && one.name === name) ?? {}
    return isV2 ? String(example) : encodeURIComponent(String(example))
  })
  const [[type, media] = ['', undefined]] = Object.entries(
    (requestBody as OpenAPIV3.RequestBodyObject | undefined)?.content ?? {},
  )
  const { example } = media ?? {}
  const isForm = type.endsWith('urlencoded')
  const body = example && (isForm ? new URLSearchParams(example).toString() : JSON.stringify(example))
  return {
    path: query.size === 0 ? path : `${path}?${query}`,
    headers: type === '' ? {} : { 'content-type': type },
    ...(body && { body }),
  }
}
