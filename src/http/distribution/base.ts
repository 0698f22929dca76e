/** end-1: confirms that this registry implements the distribution-spec. */
export function getBase(): Response {
  return Response.json({})
}
