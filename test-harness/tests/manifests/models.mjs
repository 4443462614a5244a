// What @kubernetes-models/istio says of objects: node models.mjs < OBJECTS. Reads a JSON array and prints one: null where it
// has no model, else what is wrong as text, which is empty where nothing is.
import { readFileSync } from 'node:fs';

const opinions = [];
for (const object of JSON.parse(readFileSync(0, 'utf8'))) {
  let Model;
  try {
    Model = (await import(`@kubernetes-models/istio/${object.apiVersion}`))[object.kind];
  } catch (error) {
    if (error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error;
  }
  if (!Model) {
    opinions.push(null);
    continue;
  }
  try {
    new Model(object).validate();
    opinions.push('');
  } catch (error) {
    opinions.push(error.message);
  }
}
console.log(JSON.stringify(opinions));
