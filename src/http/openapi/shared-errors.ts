import type { OpenAPIV3 } from 'openapi-types'

type Answer = OpenAPIV3.ResponseObject | OpenAPIV3.ReferenceObject

/** Moves the error responses to the components of the document, because most operations have the same. */
export function shareErrors(document: OpenAPIV3.Document): void {
  const shared: Record<string, OpenAPIV3.ResponseObject> = {}
  const names = new Map<string, string>()
  for (const operation of operationsOf(document)) {
    for (const [status, answer] of Object.entries(operation.responses) as [string, Answer][]) {
      if (Number(status) < 400 || '$ref' in answer) continue
      const key = JSON.stringify([status, answer])
      const name = names.get(key) ?? freeName(shared, status, answer.description)
      names.set(key, name)
      shared[name] = answer
      operation.responses[status] = { $ref: `#/components/responses/${name}` }
    }
  }
  document.components = { ...document.components, responses: shared }
}

function operationsOf({ paths }: OpenAPIV3.Document): OpenAPIV3.OperationObject[] {
  return Object.values(paths).flatMap((item) => {
    const { parameters: _, ...methods } = item ?? {}
    return Object.values(methods) as OpenAPIV3.OperationObject[]
  })
}

/** Returns a name that does not depend on other responses, if possible: the status and the error codes. */
function freeName(taken: object, status: string, description: string): string {
  const codes = [...description.matchAll(/\b([A-Z_]{4,}):/g)].map(([, code]) => code)
  const name = [status, ...codes].join('.')
  let free = name
  for (let n = 2; free in taken; n++) free = `${name}-${n}`
  return free
}
