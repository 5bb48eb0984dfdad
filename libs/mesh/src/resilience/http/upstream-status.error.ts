import { MeshError } from '../../core/mesh.error.js';
import { retryAfterMsOf } from '../error-classification.js';
import { NO_RETRY_HEADER } from '../filters/mesh-exception.filter.js';

/** An upstream answered with a status that says that it is unwell: 5xx, 408 or 429. */
export class UpstreamStatusError extends MeshError {
  constructor(
    readonly policy: string,
    /** Status and headers; the body is discarded. */
    readonly answer: Response,
    epochNow: number,
  ) {
    const { status, headers } = answer;
    const retryAfterMs = retryAfterMsOf({ response: { headers } }, epochNow);
    super(`Policy "${policy}" got status ${status} from upstream.`, {
      code: 'MESH_UPSTREAM_STATUS',
      status: gatewayStatusOf(status),
      // An upstream that has retried already says so.
      retryable: headers.get(NO_RETRY_HEADER) !== 'false',
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      details: { policy, status },
    });
  }
}

/** Whether a status says that the callee is unwell, and not that the request was wrong. */
export function isFailureStatus(status: number): boolean {
  return status >= 500 || status === 408 || status === 429;
}

/** What a gateway answers that got this status from behind. @see https://www.rfc-editor.org/rfc/rfc9110#section-15.6 */
function gatewayStatusOf(status: number): number {
  if (status === 503 || status === 429) return 503;
  return status === 504 || status === 408 ? 504 : 502;
}
