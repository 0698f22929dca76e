/** end-1: this is a registry of the distribution-spec. */
export function getBase(): Response {
  return Response.json({})
}
