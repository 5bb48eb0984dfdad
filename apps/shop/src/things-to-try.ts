/** What the demo prints once it listens. */
export function thingsToTry(url: string): string {
  const json = `-H 'content-type: application/json' -d`;
  return `
The shop is open at ${url}. Things to try in another terminal:

  curl -s ${url}/products
  curl -si ${url}/orders ${json} '{"productId":"espresso","quantity":2}'     # 201, paid
  curl -s ${url}/health/ready

  # Make the payment provider fail, then order five times: the circuit opens, orders are accepted at once (202).
  curl -sX PUT ${url}/demo/provider ${json} '{"failureRatio":1}'
  for i in 1 2 3 4 5; do curl -si ${url}/orders ${json} '{"productId":"kettle","quantity":1}' | head -1; done
  curl -s ${url}/health/ready                                                # 200, the shop itself is well
  curl -s ${url}/mesh/breakers                                               # payments.charge is open

  # Repair it: the circuit closes by itself and the pending payments are charged.
  curl -sX PUT ${url}/demo/provider ${json} '{"failureRatio":0}'
  curl -s ${url}/metrics | grep mesh_

`;
}
